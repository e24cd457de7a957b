import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectRoot } from '../support/shared.ts'

const recipe = (name: string): string => readFileSync(join(projectRoot, 'deploy', name), 'utf8')

function noSystemd(): string | false {
  const { error } = spawnSync('systemd-analyze', ['--version'])
  return error ? 'no systemd-analyze (apt install systemd)' : false
}

/** What `systemd-analyze verify` has to say of the units; it finds no fault with what it only warns of. */
function verified(folder: string, units: Readonly<Record<string, string>>): string {
  mkdirSync(folder)
  for (const [name, text] of Object.entries(units)) {
    // The command has to be there.
    writeFileSync(join(folder, name), text.replace('/usr/local/bin/run-pipeline', process.execPath))
  }
  const paths = Object.keys(units).map(name => join(folder, name))
  const { status, stderr, stdout } = spawnSync('systemd-analyze', ['--man=no', 'verify', ...paths], {
    encoding: 'utf8',
  })
  // Of the machine's own units that ours wait for.
  const said = `${stdout}${stderr}`.split('\n').filter(line => line.includes('ctflow'))
  return [...(status === 0 ? [] : [`exit code ${status}`]), ...said].join('\n')
}

function both(service: string, timer: string): Record<string, string> {
  return { 'ctflow-evaluate.service': service, 'ctflow-evaluate.timer': timer }
}

t.test('systemd finds no fault with the service and its timer', { skip: noSystemd() }, async t => {
  const dir = t.testdir()
  const service = recipe('ctflow-evaluate.service')
  const timer = recipe('ctflow-evaluate.timer')
  t.equal(verified(join(dir, 'shipped'), both(service, timer)), '')
  const [, calendar] = /^OnCalendar=(.*)$/m.exec(timer)!
  t.match(execFileSync('systemd-analyze', ['calendar', calendar!], { encoding: 'utf8' }), /Next elapse: \w/)
  // The check can find something.
  t.match(verified(join(dir, 'key'), both(service.replace('PrivateTmp', 'PrivateTemp'), timer)), /PrivateTemp/)
  t.match(verified(join(dir, 'time'), both(service, timer.replace('02:10:00', '25:10:00'))), /OnCalendar|calendar/)
})

t.test('the service runs the evaluation quietly, and knows the exit code of a busy output', async t => {
  const service = recipe('ctflow-evaluate.service')
  t.match(service, /^ExecStart=\S+run-pipeline \S+\.json --quiet$/m)
  t.match(service, /^SuccessExitStatus=75$/m)
  t.match(service, /^Nice=\d+$/m)
  t.match(recipe('ctflow-evaluate.timer'), /^Persistent=true$/m)
})

const field = String.raw`(?:\*|\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)(?:/\d+)?`
/** A comment, an assignment, or five fields of time and a command. */
const cronLine = new RegExp(
  `^(?:#.*|[A-Z]+=.+|(${field})\\s+(${field})\\s+(${field})\\s+(${field})\\s+(${field})\\s+(\\S.*))$`,
)
const ranges = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const

/** What cron would not take of a crontab's lines. */
function problemsOf(crontab: string): string[] {
  return crontab
    .split('\n')
    .filter(line => line !== '')
    .flatMap(line => {
      const match = cronLine.exec(line)
      if (!match) return [`no line of a crontab: ${line}`]
      const [, ...fields] = match
      const beyond = ranges.flatMap(([least, most], i) =>
        (fields[i] ?? '').split(/[^\d]+/).filter(n => n !== '' && (Number(n) < least || Number(n) > most)),
      )
      // To cron, a percent sign in a command is the end of the line.
      return [...beyond.map(n => `out of range: ${n}`), ...(/[^\\]%/.test(fields[5] ?? '') ? ['a bare %'] : [])]
    })
}

t.test('the crontab is one, and its command is a command', async t => {
  const crontab = recipe('crontab.example')
  t.same(problemsOf(crontab), [])
  t.ok(crontab.endsWith('\n'), 'cron leaves out a last line that is not ended')
  t.match(problemsOf('70 2 * * * run'), ['out of range: 70'])
  t.match(problemsOf('10 2 * * run'), [/no line/])
  t.match(problemsOf('10 2 * * * run %x'), ['a bare %'])
  const [line] = crontab.split('\n').filter(each => /^\d/.test(each))
  const command = line!.split(/\s+/).slice(5).join(' ')
  execFileSync('sh', ['-n', '-c', command])
  t.match(command, /run-pipeline \S+\.json --quiet$/)
})
