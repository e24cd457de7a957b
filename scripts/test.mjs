/**
 * Runs the tests and ends with one line that people and machines read: `N passed, N failed, N skipped`.
 *
 *   node scripts/test.mjs            all but those that take minutes
 *   node scripts/test.mjs --long     those: batches and shards that are killed, beside each other and resumed; what `explain` tells; a bundle;
 *                                    a training on SwiftShader against MONAI's; the published network's layers on lavapipe
 *   node scripts/test.mjs FILES      some
 */

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const { Parser } = createRequire(import.meta.url)('tap-parser')
const root = fileURLToPath(new URL('..', import.meta.url))
const tap = fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url))
const long = [
  'bin/batch.js',
  'bin/explain.js',
  'bin/shards.js',
  'cache/several-processes.js',
  'parity/webgpu.js',
  'scripts/bundle.js',
  'engine/webgpu/conv3d-layers.js',
].map(name => `dist/test/${name}`)

/** As tap would find them, without helpers. */
function allFiles() {
  const folder = fileURLToPath(new URL('../dist/test', import.meta.url))
  return readdirSync(folder, { recursive: true })
    .map(name => `dist/test/${name.replaceAll('\\', '/')}`)
    .filter(name => name.endsWith('.js') && !/^dist\/test\/(reference|support)\//.test(name))
    .toSorted()
}

const given = process.argv.slice(2)
const files =
  given[0] === '--long'
    ? [...long, ...given.slice(1)]
    : given.length > 0
      ? given
      : allFiles().filter(name => !long.includes(name))
const counts = { passed: 0, failed: 0, skipped: 0 }
const skips = new Map()

/** Counts assertions at the leaves: the line that sums up a subtest is not counted again. */
function count(parser, names) {
  const children = new Set()
  parser.on('child', child => {
    children.add(child.name)
    count(child, [...names, child.name])
  })
  parser.on('assert', result => {
    if (result.skip) {
      counts.skipped += 1
      const reason = result.skip === true ? 'no reason given' : result.skip
      skips.set(reason, [...(skips.get(reason) ?? []), [...names, result.name].join(' > ')])
    } else if (!children.has(result.name)) {
      counts[result.ok ? 'passed' : 'failed'] += 1
      if (!result.ok)
        console.log(`not ok: ${[...names, result.name].join(' > ')}\n${JSON.stringify(result.diag, null, 2)}`)
    } else if (!result.ok && result.diag && !('at' in result.diag)) {
      // A file that died, or a test that ran out of time, has no failed assertion of its own.
      console.log(`not ok: ${[...names, result.name].join(' > ')}\n${JSON.stringify(result.diag, null, 2)}`)
    }
    if (names.length === 0)
      console.log(`${result.ok ? 'ok    ' : 'not ok'} ${result.name.padEnd(52)} ${(result.time / 1000).toFixed(1)} s`)
  })
}

const parser = new Parser()
count(parser, [])
const exitCode = await new Promise((resolve, reject) => {
  const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', ...files], {
    cwd: root,
    // Tests of "auto" and of bits are the processor's; those that want a GPU name their driver.
    env: {
      VK_DRIVER_FILES: '/there/is/none.json',
      ...process.env,
      ...(given[0] === '--long' && { CTFLOW_SWEEP: '1' }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.on('error', reject)
  child.on('close', (code, signal) => resolve(signal ? 1 : code))
  child.stdout.pipe(parser)
})

if (given.length === 0) console.log(`not run, since they take minutes: ${long.join(', ')}; npm run test:long`)
for (const [reason, names] of skips) console.log(`skipped (${reason}): ${names.join('; ')}`)
if (exitCode !== 0 && counts.failed === 0) counts.failed = 1
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = exitCode === 0 && counts.failed === 0 ? 0 : 1
