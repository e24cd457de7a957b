/**
 * `npm run check:tensorflow`: makes @tensorflow/tfjs-node where it is not there yet, then compares the `tensorflow` backend with
 * the float64 references, with recorded values of MONAI and PyTorch, and in a short training with `native`. Ends with 1 where
 * anything is out of its tolerance.
 */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openEngine } from '../engine/engine.ts'
import { publishedSegresnet } from '../model/segresnet.ts'
import type { Shape3 } from '../pipeline/grid.ts'
import { classes, maxDifference, normals } from '../test/support/numbers.ts'
import { engineOptions } from '../test/support/options.ts'
import { describe, findings, referencesIn } from '../test/support/parity/index.ts'
import { networkChecksOn } from '../test/support/parity/network.ts'
import { buildTfjsNode, testedTensorflow } from './build-tfjs-node.ts'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** Files with tests of every backend. */
const suites = ['engine/ops', 'engine/gradients', 'engine/engine', 'engine/need', 'model/gradients', 'model/segresnet']

const patch: Shape3 = [64, 64, 32]
const steps = 10
/** Of the losses of a training from the same weights; float32 in another order of sums, through Adam's signs. */
const tolerance = 1e-3

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(root, 'build', 'tfjs-node') },
    tensorflow: { type: 'string', default: testedTensorflow },
    gpu: { type: 'boolean', default: false },
  },
})
const given = process.env['CTFLOW_TFJS_NODE']
if (given === undefined) buildTfjsNode(values)
process.env['CTFLOW_TFJS_NODE'] = resolve(given ?? values.folder)

const passed = [conformance(), await parity(), await training()]
process.exitCode = passed.every(Boolean) ? 0 : 1

/** The tests of this backend alone; the others have been looked at by `npm test`. */
function conformance(): boolean {
  const tap = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')
  const files = suites.map(suite => `dist/test/${suite}.js`)
  const args = [tap, 'run', '--timeout=600', '--reporter=tap', '--grep=/^tensorflow/', ...files]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  const tests = stdout.split('\n').filter(line => /^ {4}(not )?ok \d+ - tensorflow/.test(line))
  const failed = tests.filter(line => line.startsWith('    not'))
  for (const line of failed) console.log(line.trim())
  const passed = status === 0 && failed.length === 0 && tests.length > 0
  if (status !== 0) console.log(stdout)
  console.log(
    `${passed ? 'ok    ' : 'NOT OK'} conformance: ${tests.length - failed.length} of ${tests.length} tests pass`,
  )
  return passed
}

async function parity(): Promise<boolean> {
  const folders = [join(root, 'fixtures', 'golden'), resolve(root, '..', 'shared', 'golden')].filter(existsSync)
  let passed = true
  for (const references of folders.flatMap((folder, i) => referencesIn(folder, i === 0 ? 'recorded' : 'golden'))) {
    for await (const finding of findings(networkChecksOn('tensorflow'), references)) {
      console.log(`${finding.within ? 'ok    ' : 'NOT OK'} ${references.name}: ${describe(finding)}`)
      passed &&= finding.within
    }
    references.forget()
  }
  return passed
}

/** The published network on one batch: the same losses, and how long a step takes. */
async function training(): Promise<boolean> {
  const voxels = patch[0] * patch[1] * patch[2]
  const image = normals(2 * voxels, 'image')
  const batch = { image, label: classes(2 * voxels, 2, 'label'), count: 2, shape: patch, cases: ['a', 'b'] }
  const losses = new Map<string, number[]>()
  for (const backend of ['native', 'tensorflow'] as const) {
    const engine = await openEngine(engineOptions({ backend, network: publishedSegresnet, threads: 'auto' }))
    const results = []
    for (let i = 0; i < steps; i++) results.push(await engine.step(batch))
    const seconds = results.map(result => result.seconds).toSorted((a, b) => a - b)
    losses.set(
      backend,
      results.map(({ loss }) => loss),
    )
    const { device, threads } = engine.info
    console.log(
      `${backend}: ${device}, ${threads} threads; ${steps} steps of 2 patches of ${patch.join(' x ')}, ` +
        `median ${seconds[steps / 2]!.toFixed(2)} s, loss ${results[0]!.loss.toFixed(6)} to ${results.at(-1)!.loss.toFixed(6)}`,
    )
    await engine.close()
  }
  const difference = maxDifference(losses.get('native')!, losses.get('tensorflow')!)
  console.log(`${difference < tolerance ? 'ok    ' : 'NOT OK'} losses differ by ${difference}, at most ${tolerance}`)
  return difference < tolerance
}
