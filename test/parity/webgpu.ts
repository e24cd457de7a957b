/** Training on a GPU, that is on SwiftShader, against recorded values of MONAI and PyTorch and against the native backend. */

import t from 'tap'
import { skipped, softwareAdapter } from '../support/backends.ts'
import { maxDifference } from '../support/numbers.ts'
import { trainedOn } from '../support/parity/network.ts'
import { referencesIn } from '../support/parity/index.ts'
import { sharedPath } from '../support/shared.ts'

const shared = sharedPath('golden')
const skip = shared ? skipped('webgpu') || skipped('native') : 'shared data not found'

t.test(
  'from the same checkpoint, one step and five are those of MONAI and of native',
  { skip, timeout: 1_800_000 },
  async t => {
    const references = referencesIn(shared!, 'golden').find(({ index }) => index.network && index.adam)!
    const found = await trainedOn(references, { backend: 'webgpu', adapter: softwareAdapter })
    const native = await trainedOn(references, { backend: 'native' })
    const expected = {
      logits: references.channelsLast(references.index.network!.logits).data,
      losses: references.index.adam!.loss_before_each_step,
      logitsAfter: references.channelsLast(references.index.adam!.logits_after).data,
    }
    const within = (difference: number, tolerance: number, what: string): void => {
      t.comment(`${what}: ${difference.toExponential(1)}`)
      t.ok(difference <= tolerance, `${what}: ${difference} <= ${tolerance}`)
    }
    within(maxDifference(found.logits, expected.logits), 5e-5, 'logits, of MONAI')
    within(maxDifference(found.logitsAfterOne, native.logitsAfterOne), 1e-4, 'logits after one step, of native')
    within(maxDifference(found.losses, expected.losses), 1e-4, 'five losses, of MONAI')
    within(rootMeanSquare(found.logitsAfter, expected.logitsAfter), 8e-3, 'logits after five steps, of MONAI')
    within(rootMeanSquare(found.logitsAfter, native.logitsAfter), 8e-3, 'logits after five steps, of native')
  },
)

function rootMeanSquare(found: Float32Array, expected: ArrayLike<number>): number {
  const sum = found.reduce((squares, value, i) => squares + (value - expected[i]!) ** 2, 0)
  return Math.sqrt(sum / found.length)
}
