/** Soft-max, Dice and cross-entropy with the gradient of the logits, in one kernel. */

import { PipelineError } from '../../pipeline/errors.ts'
import { loadAddon } from '../addon.ts'
import { check, checkShape, checkVolumes, floats, integers, kernel } from './kernel.ts'

/** kMostClasses in dice-ce.h. */
const mostClasses = 32

/** {logits (N, D, H, W, C), labels (N, D, H, W) int32} -> [loss, dice, crossEntropy, dlogits]; ERR_LABEL where a label is no class */
export const diceCrossEntropy = kernel('DiceCrossEntropy', ({ inputs: { logits, labels }, backend, attrs }) => {
  const [n, d, h, w, classes] = logits!.shape as [number, number, number, number, number]
  checkVolumes('DiceCrossEntropy', 'logits', logits!)
  checkShape('DiceCrossEntropy', 'labels', labels!, [n, d, h, w])
  check(
    classes >= 2 && classes <= mostClasses,
    'DiceCrossEntropy',
    `expected 2 to ${mostClasses} classes, found ${classes}`,
  )
  const dlogits = backend.output(logits!.shape)
  const flag = (name: string): number => (attrs[name] ? 1 : 0)
  const [loss, dice, crossEntropy, badLabels] = loadAddon().diceCrossEntropy(
    floats(backend, logits!),
    integers(backend, labels!),
    dlogits.values,
    [n, d * h * w, classes, flag('squaredPred'), flag('includeBackground'), flag('jaccard'), flag('batch')],
    attrs['smoothNr'] as number,
    attrs['smoothDr'] as number,
    attrs['lambdaDice'] as number,
    attrs['lambdaCe'] as number,
  )
  if (badLabels > 0) {
    backend.disposeIntermediateTensorInfo(dlogits.info)
    throw new PipelineError(
      'ERR_LABEL',
      `expected labels from 0 to ${classes - 1}, found ${badLabels} voxels with others; map the labels first`,
      { badLabels, classes },
    )
  }
  const scalars = [loss, dice, crossEntropy].map(value => {
    const scalar = backend.output([])
    scalar.values[0] = value
    return scalar.info
  })
  return [...scalars, dlogits.info]
})
