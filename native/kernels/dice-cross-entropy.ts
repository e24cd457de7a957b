/** Soft-max, Dice and cross-entropy with the gradient of the logits, in one kernel. */

import { PipelineError } from '../../pipeline/errors.ts'
import { loadAddon } from '../addon.ts'
import { check, checkShape, checkVolumes, floats, integers, kernel, type Call } from './kernel.ts'

/** Sums over a batch whose samples come one by one, and their number; see dice-ce.h. */
interface BatchSums {
  readonly sums: Float64Array
  readonly samples: number
}

/** kMostClasses in dice-ce.h. */
const mostClasses = 32

/** {logits (N, D, H, W, C), labels (N, D, H, W) int32} -> [loss, dice, crossEntropy, dlogits]; ERR_LABEL where a label is no class */
export const diceCrossEntropy = kernel('DiceCrossEntropy', call => {
  const { backend, inputs, attrs } = call
  const dlogits = backend.output(inputs['logits']!.shape)
  try {
    const scalars = compute(call, dlogits.values, attrs['batchSums'] as BatchSums | undefined).map(value => {
      const scalar = backend.output([])
      scalar.values[0] = value
      return scalar.info
    })
    return [...scalars, dlogits.info]
  } catch (error) {
    backend.disposeIntermediateTensorInfo(dlogits.info)
    throw error
  }
})

/** Of the logits and labels given: fills attrs.sums (3, C), float64, and gives no tensor. */
export const diceSums = kernel('DiceSums', call => {
  compute(call, null, undefined, call.attrs['sums'] as Float64Array)
  return []
})

function compute(
  { inputs: { logits, labels }, backend, attrs }: Call,
  dlogits: Float32Array | null,
  batch?: BatchSums,
  sums?: Float64Array,
): number[] {
  const [n, d, h, w, classes] = logits!.shape as [number, number, number, number, number]
  checkVolumes('DiceCrossEntropy', 'logits', logits!)
  checkShape('DiceCrossEntropy', 'labels', labels!, [n, d, h, w])
  check(
    classes >= 2 && classes <= mostClasses,
    'DiceCrossEntropy',
    `expected 2 to ${mostClasses} classes, found ${classes}`,
  )
  const flag = (name: string): number => (attrs[name] ? 1 : 0)
  const [loss, dice, crossEntropy, badLabels] = loadAddon().diceCrossEntropy(
    floats(backend, logits!),
    integers(backend, labels!),
    dlogits,
    [n, d * h * w, classes, flag('squaredPred'), flag('includeBackground'), flag('jaccard'), flag('batch')],
    attrs['smoothNr'] as number,
    attrs['smoothDr'] as number,
    attrs['lambdaDice'] as number,
    attrs['lambdaCe'] as number,
    batch?.sums,
    batch?.samples,
    sums,
  )
  if (badLabels > 0) {
    throw new PipelineError(
      'ERR_LABEL',
      `expected labels from 0 to ${classes - 1}, found ${badLabels} voxels with others; map the labels first`,
      { badLabels, classes },
    )
  }
  return [loss, dice, crossEntropy]
}
