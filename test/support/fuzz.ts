/** Programs of `test/support` that call the addon at random, in a process of their own: a crash must not take the tests along. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'
import { projectRoot } from './shared.ts'

/** What a fuzz prints at its end: how often what happened, and the errors' messages with numbers as N. */
export interface Fuzzed {
  readonly counts: Readonly<Record<string, number>>
  readonly messages: readonly string[]
  readonly spoiltMessages: readonly string[]
}

/** Runs `<name>-fuzz.js` with so many calls; asserts that the process lived and that nothing was wrong. */
export function fuzzed(t: Test, name: string, calls: number): Fuzzed {
  const program = join(projectRoot, 'dist', 'test', 'support', `${name}-fuzz.js`)
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  const args = [program, join(projectRoot, 'build', 'ctflow.node'), '1', String(calls)]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 26,
  })
  const last = stdout.trimEnd().split('\n').at(-1)!
  t.same({ signal, stderr }, { signal: null, stderr: '' }, `the last call: ${last.slice(0, 200)}`)
  const { problems, messages, spoiltMessages = [], ...counts } = JSON.parse(last)
  t.comment(JSON.stringify(counts))
  t.same({ status, problems }, { status: 0, problems: [] })
  return { counts, messages, spoiltMessages }
}
