/** The addon's functions for kept voxels: right for any shape, an error for wrong arguments, never a crash. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'

t.test('any shape and any arguments', { skip }, async t => {
  const fuzz = join(projectRoot, 'dist', 'test', 'support', 'stored-fuzz.js')
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  const run = spawnSync(process.execPath, [fuzz, join(projectRoot, 'build', 'ctflow.node'), '1', '3000'], {
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 26,
  })
  const lines = run.stdout.trimEnd().split('\n')
  t.same({ signal: run.signal, stderr: run.stderr }, { signal: null, stderr: '' }, `the last call: ${lines.at(-1)}`)
  const { problems, messages, ...counts } = JSON.parse(lines.at(-1)!)
  t.comment(JSON.stringify(counts))
  t.same({ status: run.status, problems }, { status: 0, problems: [] })
  t.ok(counts.right > 5000 && counts.refused > 700, 'enough of both kinds')
  const says =
    /is not|not an|must (be|begin)|has N elements|holds something|no such|too (large|few)|leaves the plane|not in the file/
  t.same(
    messages.filter((message: string) => !says.test(message)),
    [],
    'each error says what was wrong',
  )
})
