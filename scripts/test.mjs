/** Runs the tests and ends with one line that people and machines read: `N passed, N failed, N skipped`. */

import { mkdirSync, readFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const report = 'build/tests.tap'
mkdirSync(new URL('../build', import.meta.url), { recursive: true })

const exitCode = await new Promise((resolve, reject) => {
  const tap = fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url))
  const args = [tap, 'run', '--reporter=terse', `--output-file=${report}`, ...process.argv.slice(2)]
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' })
  child.on('error', reject)
  child.on('exit', (code, signal) => resolve(signal ? 1 : code))
})

const { Parser } = createRequire(import.meta.url)('tap-parser')
const counts = { passed: 0, failed: 0, skipped: 0 }
const skips = new Map()
/** Counts assertions at the leaves; a subtest's own summary line is not counted twice. */
function count(parser) {
  parser.on('child', count)
  parser.on('assert', result => {
    if (result.skip !== false && result.skip !== undefined) {
      counts.skipped += 1
      const reason = result.skip === true ? 'no reason given' : result.skip
      skips.set(reason, [...(skips.get(reason) ?? []), result.fullname || result.name])
    } else if (!result.ok) counts.failed += 1
    else counts.passed += 1
  })
}
const parser = new Parser()
count(parser)
parser.end(readFileSync(new URL(`../${report}`, import.meta.url)))

for (const [reason, names] of skips) console.log(`skipped (${reason}): ${names.join('; ')}`)
if (exitCode !== 0 && counts.failed === 0) counts.failed = 1
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = exitCode === 0 && counts.failed === 0 ? 0 : 1
