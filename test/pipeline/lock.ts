import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { holderOf, lockOutput, refuseHeld } from '../../pipeline/lock.ts'
import { projectRoot } from '../support/shared.ts'

const of = (index: number, count: number): { index: number; count: number } => ({ index, count })

t.test('a whole run and shards exclude each other, and so does what is not of one batch', async t => {
  const output = t.testdir()
  const whole = lockOutput(output, undefined, 'x')
  t.throws(() => lockOutput(output, undefined, 'x'), { code: 'ERR_LOCKED' })
  t.throws(() => lockOutput(output, of(1, 4), 'x'), { code: 'ERR_LOCKED', message: /another run works/ })
  t.same(readdirSync(output), ['.lock'], 'who is refused leaves nothing')
  whole()
  const first = lockOutput(output, of(1, 4), 'x')
  const second = lockOutput(output, of(2, 4), 'x')
  t.throws(() => lockOutput(output, of(2, 4), 'x'), { code: 'ERR_LOCKED' }, 'the same shard twice')
  t.throws(() => lockOutput(output, undefined, 'x'), { code: 'ERR_LOCKED', message: /shard [12]\/4 works/ })
  t.throws(() => lockOutput(output, of(3, 5), 'x'), { message: /shard [12]\/4 works .*, and this is shard 3\/5/ })
  t.throws(() => lockOutput(output, of(3, 4), 'y'), { message: /with another definition or model/ })
  t.match(holderOf(output, of(1, 4)), `process ${process.pid} on`)
  t.equal(holderOf(output, of(3, 4)), undefined)
  first()
  second()
  lockOutput(output, of(3, 5), 'y')()
  t.same(readdirSync(output), [])
})

t.test('who would be locked out is told before, and nothing is made of it', async t => {
  const output = t.testdir()
  const nowhere = join(output, 'nowhere')
  refuseHeld(nowhere)
  t.notOk(existsSync(nowhere))
  const whole = lockOutput(output)
  t.throws(() => refuseHeld(output), { code: 'ERR_LOCKED', message: /another run works .*process \d+/ })
  t.throws(() => refuseHeld(output, of(1, 4)), { code: 'ERR_LOCKED' })
  whole()
  const first = lockOutput(output, of(1, 4), 'x')
  t.throws(() => refuseHeld(output), { code: 'ERR_LOCKED', message: /shard 1\/4/ })
  t.throws(() => refuseHeld(output, of(1, 4)), { code: 'ERR_LOCKED' })
  t.throws(() => refuseHeld(output, of(2, 5)), { code: 'ERR_LOCKED' })
  refuseHeld(output, of(2, 4))
  t.same(readdirSync(output), ['.lock-1-of-4'])
  first()
  refuseHeld(output)
})

t.test('who is dead holds nothing', async t => {
  const output = t.testdir()
  const path = join(output, '.lock-1-of-2')
  const alive = lockOutput(output, of(1, 2))
  const mine = JSON.parse(readFileSync(path, 'utf8')) as object
  alive()
  const isTaken = (holder: object): boolean => {
    writeFileSync(path, JSON.stringify(holder))
    try {
      lockOutput(output)()
      return false
    } catch {
      return true
    }
  }
  t.ok(isTaken(mine))
  t.notOk(isTaken({ ...mine, boot: 'before the restart' }), 'the machine was started again')
  t.notOk(isTaken({ ...mine, pid: 2 ** 22 + 1 }), 'there is no such process')
  if (existsSync('/proc/self/stat'))
    t.notOk(isTaken({ ...mine, began: '1' }), 'another process has its number, as the first one of a container has')
  t.ok(isTaken({ ...mine, host: `not-${hostname()}` }), 'another machine is believed')
  writeFileSync(path, '{"pid":')
  lockOutput(output)()
})

t.test('a job that Slurm puts back into the queue holds nothing where it was', async t => {
  const output = t.testdir()
  const before = process.env
  t.teardown(() => (process.env = before))
  const path = join(output, '.lock')
  const elsewhere = { pid: 1, host: 'elsewhere', boot: '', since: '', job: { id: 'slurm c 7', restart: 0 } }
  const attempt = (env: Record<string, string>): (() => void) => {
    process.env = { ...before, SLURM_CLUSTER_NAME: 'c', ...env }
    writeFileSync(path, JSON.stringify(elsewhere))
    return lockOutput(output)
  }
  t.throws(() => attempt({ SLURM_JOB_ID: '8', SLURM_RESTART_COUNT: '1' }), { code: 'ERR_LOCKED' }, 'another job')
  t.throws(() => attempt({ SLURM_JOB_ID: '7' }), { code: 'ERR_LOCKED' }, 'the same job beside itself')
  attempt({ SLURM_JOB_ID: '7', SLURM_RESTART_COUNT: '1' })()
})

t.test("only what is still one's own is given back, and no name is one that another container has", async t => {
  const output = t.testdir()
  mkdirSync(join(output, `.lock.${process.pid}`))
  const unlock = lockOutput(output)
  const theirs = JSON.stringify({ pid: 1, host: `not-${hostname()}`, boot: '', since: '' })
  writeFileSync(join(output, '.lock'), theirs)
  unlock()
  t.equal(readFileSync(join(output, '.lock'), 'utf8'), theirs)
})

const inside = ['--pid', '--fork', '--mount-proc', '--uts'] as const

function noNamespaces(): string | false {
  try {
    execFileSync('unshare', [...inside, 'true'], { stdio: 'ignore' })
    return false
  } catch {
    return 'no right to make namespaces'
  }
}

t.test(
  'a container cannot see whether another one lives, but knows itself after a restart',
  { skip: noNamespaces() },
  async t => {
    const output = t.testdir()
    const module = join(projectRoot, 'dist/pipeline/lock.js')
    // It stays until nobody listens: the number of a namespace that has ended is given to the next.
    const script = `const { lockOutput } = await import(process.argv[1])
      try { lockOutput(process.argv[2]); console.log('taken') } catch (error) { console.log(error.code) }
      process.stdin.resume()`
    const attempt = async (host: string, env: Record<string, string> = {}): Promise<string> => {
      const node = [process.execPath, '--input-type=module', '-e', script, module, output]
      const child = spawn('unshare', [...inside, 'sh', '-c', 'hostname "$0" && exec "$@"', host, ...node], {
        env: { PATH: process.env['PATH'], ...env },
      })
      t.teardown(() => child.stdin.end())
      const [said] = (await once(child.stdout, 'data')) as [Buffer]
      return said.toString().trim()
    }
    const first = async (host: string): Promise<void> => {
      rmSync(join(output, '.lock'), { force: true })
      t.equal(await attempt(host), 'taken')
    }
    await first('node7')
    t.equal(await attempt('node7'), 'ERR_LOCKED', 'containers may share the name of the machine')
    t.equal(await attempt('node7', { JOB_COMPLETION_INDEX: '1' }), 'ERR_LOCKED')
    await first('ctflow-infer-0')
    t.equal(await attempt('ctflow-infer-0', { JOB_COMPLETION_INDEX: '0' }), 'taken', 'the pod of an indexed job')
    await first('3f4e0a91bc5d')
    t.equal(await attempt('3f4e0a91bc5d'), 'taken', "Docker's own name")
  },
)
