/** The addon's inflater: what node:zlib gives and refuses, whatever the stream and the steps; never a crash. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'

t.test('any stream, in any steps, and any arguments', { skip }, async t => {
  const fuzz = join(projectRoot, 'dist', 'test', 'support', 'gunzip-fuzz.js')
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  const run = spawnSync(process.execPath, [fuzz, join(projectRoot, 'build', 'ctflow.node'), '1', '600'], {
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 26,
  })
  const lines = run.stdout.trimEnd().split('\n')
  t.same({ signal: run.signal, stderr: run.stderr }, { signal: null, stderr: '' }, `the last stream: ${lines.at(-1)}`)
  const { problems, messages, spoiltMessages, ...counts } = JSON.parse(lines.at(-1)!)
  t.comment(JSON.stringify(counts))
  t.same({ status: run.status, problems }, { status: 0, problems: [] })
  t.ok(counts.accepted > 500 && counts.refused > 700 && counts.spoilt > 50, 'enough of each kind')
  // Streams at random find 17 or 18 of them.
  t.ok(messages.length >= 15, `zlib refuses in nearly every way it has: ${messages.join(', ')}`)
  t.same(
    spoiltMessages.filter((message: string) => !/^gunzip: .* is not (a|free)/.test(message)),
    [],
    'each error says what was wrong',
  )
})
