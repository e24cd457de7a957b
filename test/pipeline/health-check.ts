import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadDefinition } from '../../pipeline/definition.ts'
import { definitionHash } from '../../pipeline/hashes.ts'
import { openHealthCheck } from '../../pipeline/health-check.ts'
import { lockOutput } from '../../pipeline/lock.ts'
import { makeFolder } from '../../pipeline/make-folder.ts'
import type { Progress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import { evaluationIn } from '../support/evaluations.ts'

interface Service {
  readonly url: string
  /** `path body` of what was asked, in order. */
  readonly asked: string[]
  readonly stop: () => void
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

async function serve(t: Test, answer: Answer = (_, response) => void response.end('OK')): Promise<Service> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += chunk))
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${body}`)
      answer(request, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = (): void => {
    server.closeAllConnections()
    server.close()
  }
  t.teardown(stop)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, stop }
}

const silent = (): void => {}

t.test('start, success and failure with the exit code, each with its words', async t => {
  const { url, asked } = await serve(t)
  const good = openHealthCheck(`${url}/uuid/?rid=7`, silent)
  good.start()
  await good.end(0, ['3 cases', 'dice 0.7'])
  await openHealthCheck(`${url}/uuid`, silent).end(4, ['gate missed', 'x'.repeat(20_000)])
  t.same(asked.slice(0, 2), ['POST /uuid/start?rid=7 ', 'POST /uuid/?rid=7 3 cases\ndice 0.7'])
  t.match(asked[2], /^POST \/uuid\/fail exit code 4\ngate missed\nx+$/)
  t.ok(asked[2]!.length < 11_000, 'a body that services take')
  await openHealthCheck(undefined, silent).end(0, [])
  t.equal(asked.length, 3)
})

t.test('an error, a refusal and silence are notes, and name no secret', async t => {
  const notes: string[] = []
  const note = (text: string): void => void notes.push(text)
  const failing = await serve(t, (_, response) => {
    response.statusCode = 500
    response.end()
  })
  await openHealthCheck(`${failing.url}/secret`, note).end(0, [])
  const gone = await serve(t)
  gone.stop()
  await openHealthCheck(`${gone.url}/secret`, note).end(0, [])
  // Never answers, not even the start: one limit for both.
  const slow = await serve(t, silent)
  const check = openHealthCheck(`${slow.url}/secret`, note)
  check.start()
  await check.end(1, [])
  t.match(notes, [/answered 500/, /could not be asked: .*ECONNREFUSED/, /could not be asked: .*timeout/i, /timeout/i])
  t.notMatch(notes.join('\n'), 'secret')
})

t.test('a connection that was closed meanwhile is made anew, once', async t => {
  const notes: string[] = []
  let drops = 1
  const { url, asked } = await serve(t, (_, response) => void (drops-- > 0 ? response.destroy() : response.end('OK')))
  const check = openHealthCheck(`${url}/id`, text => void notes.push(text))
  await check.end(0, [])
  t.same([asked, notes], [['POST /id ', 'POST /id '], []])
  drops = 2
  await check.end(0, [])
  t.equal(asked.length, 4)
  t.match(notes, [/could not be asked/])
})

t.test('no URL whatever ends a run, or is told to who reads the notes', async t => {
  for (const url of [
    'https://[secret',
    'secret',
    'https://me:secret@127.0.0.1:1/x',
    'mailto:secret',
    'http://127.0.0.1:1/secret',
  ]) {
    const notes: string[] = []
    const check = openHealthCheck(url, text => void notes.push(text))
    check.start()
    await check.end(1, ['words'])
    t.ok(notes.length > 0, url)
    t.notMatch(notes.join('\n'), 'secret', url)
  }
})

t.test('runs of every ending: good, failed, refused, locked out, interrupted', async t => {
  const { url, asked } = await serve(t)
  const dir = t.testdir()
  const progress: Progress = { note() {}, begin() {}, advance() {}, event() {}, status() {}, stages() {}, close() {} }
  const file = await evaluationIn(dir, { healthCheck: `${url}/id` })
  const told = async (set: string[], signal?: AbortSignal): Promise<string[]> => {
    asked.length = 0
    await run(loadDefinition(file, set), { progress, ...(signal && { signal }) })
    return asked.map(line => line.split('\n').slice(0, 2).join(' | '))
  }
  t.match(await told([]), ['POST /id/start ', /^POST \/id 2 of 2 cases evaluated/])
  t.match(asked[1], /results: /)
  t.notMatch(readFileSync(join(dir, 'out/definition.json'), 'utf8'), url, 'others may read the output')
  const [plain, watched] = [loadDefinition(file, ['healthCheck=https://other.example/']), loadDefinition(file)]
  t.equal(definitionHash(plain), definitionHash(watched))
  t.match(await told(['gates={"dice.mean": ">= 0.9"}']), [
    /start/,
    /^POST \/id\/fail exit code 4 \| gate missed: dice.mean.*0.5/,
  ])
  t.match(
    await told(['dataset.predictions=nowhere']),
    [/^POST \/id\/fail exit code 2 \| the definition is refused/],
    'no start',
  )
  const ended = new AbortController()
  ended.abort('SIGTERM')
  t.match(await told([], ended.signal), [/start/, /^POST \/id\/fail exit code 143 \| interrupted/])
  makeFolder(join(dir, 'out'))
  const unlock = lockOutput(join(dir, 'out'))
  const late = await run(loadDefinition(file, ['dataset.section=validation']), { progress })
  t.match(late, { status: 'locked', exitCode: 75 }, 'at once, before the data set is looked at')
  t.same(await told([]), [], 'who is locked out leaves the word to who is at work')
  unlock()
})
