/**
 * Soft-max, Dice and cross-entropy with the gradient of the logits: sums of chunks of voxels, then the loss and what a
 * voxel needs for its gradient, then the gradients. Sums are float32 in trees; no label is looked at before the GPU has it, so
 * one that is no class counts as the nearest class: whoever uploads labels checks them.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Program } from '../program.ts'
import { spread } from '../program.ts'
import {
  checkInputs,
  forClasses,
  logitsBinding,
  softmaxOf,
  sumsOfChunks,
  totalsOfSample,
  widthOf,
} from './dice-sums.ts'
import { written, elementGroups, elementMain, taskMain } from './entry.ts'
import { functions } from './functions.ts'
import { checkShape, kernel, type Call } from './kernel.ts'

/** What changes the code. */
interface Flags {
  readonly squaredPred: boolean
  readonly includeBackground: boolean
  readonly jaccard: boolean
  readonly batch: boolean
  readonly alone: boolean
}

/**
 * {logits (N, D, H, W, C), labels (N, D, H, W) int32, sums? (3, C)} -> [loss, dice, crossEntropy, dlogits]. `sums` with
 * attrs.batchSums.samples: of a whole batch, see engine/ops/dice-cross-entropy.ts. With attrs.alone every sample is taken as if
 * it came by itself, to the last bit: the scalars are (N) then. Logits that are not finite make the loss NaN.
 */
export const diceCrossEntropy = kernel('DiceCrossEntropy', call => {
  const { inputs, backend, attrs } = call
  const [logits, labels] = [inputs['logits']!, inputs['labels']!]
  const geometry = checkInputs(call)
  const { samples, voxels, classes, chunks } = geometry
  const flags = flagsOf(attrs)
  const batchSums = attrs['batchSums'] as { readonly samples: number; readonly sums: unknown } | undefined
  const given = batchSums && (inputs['sums'] ?? uploaded(call, batchSums.sums as Float64Array, classes))
  if (given) checkShape('DiceCrossEntropy', 'sums', given, [3, classes])
  const together = flags.alone ? 1 : samples
  const terms = (flags.batch ? 1 : together) * (classes - (flags.includeBackground ? 0 : 1))
  const lambdaDice = attrs['lambdaDice'] as number
  const lambdaCe = attrs['lambdaCe'] as number

  const partial = sumsOfChunks(call, geometry, flags.squaredPred)
  const shape = flags.alone ? [samples] : []
  const [loss, dice, crossEntropy] = [backend.output(shape), backend.output(shape), backend.output(shape)]
  const isOneRow = flags.batch && !flags.alone
  const slopes = backend.output([isOneRow ? 1 : samples, 3, classes])
  const key = `${classes} ${Object.values(flags).map(Number).join('')}`
  backend.run(`DiceCrossEntropy loss ${key} ${given !== undefined}`, () => lossOfSums(classes, flags, !!given), {
    buffers: { partial, ...(given && { sums: given }), loss, dice, crossEntropy, slopes },
    uniforms: {
      tasks: flags.alone ? samples : 1,
      samples,
      chunks,
      terms,
      weight: (lambdaDice * (batchSums?.samples ?? 1)) / terms,
      lambdaDice,
      lambdaCe,
      perVoxel: 1 / (together * voxels),
      smoothNr: attrs['smoothNr'] as number,
      smoothDr: attrs['smoothDr'] as number,
    },
    workgroups: spread(flags.alone ? samples : 1),
  })
  const dlogits = backend.output(logits.shape)
  const size = samples * voxels
  backend.run(`DiceCrossEntropy gradient ${classes}`, () => gradient(classes), {
    buffers: { logits, labels, slopes, dlogits },
    uniforms: { size, voxelsPerRow: isOneRow ? size : voxels, crossEntropy: lambdaCe / (together * voxels) },
    workgroups: elementGroups(size),
  })
  for (const { dataId } of [partial, slopes]) backend.disposeData(dataId)
  if (given && given !== inputs['sums']) backend.disposeData(given.dataId)
  return [loss, dice, crossEntropy, dlogits]
})

function flagsOf(attrs: Call['attrs']): Flags {
  const flag = (name: string): boolean => Boolean(attrs[name])
  return {
    squaredPred: flag('squaredPred'),
    includeBackground: flag('includeBackground'),
    jaccard: flag('jaccard'),
    batch: flag('batch'),
    alone: flag('alone'),
  }
}

/** Sums that were computed elsewhere. */
function uploaded({ backend }: Call, sums: Float64Array, classes: number): TensorInfo {
  return backend.makeTensorInfo([3, classes], 'float32', Float32Array.from(sums))
}

/**
 * The loss, and per row (sample, or the batch) `slopes` (3, C): d loss / d p is [0] where the label is the class, else [1], plus
 * [2] times p. A lane has a class.
 */
function lossOfSums(
  classes: number,
  { squaredPred, includeBackground, jaccard, batch, alone }: Flags,
  given: boolean,
): Program {
  const { declarations, code } = totalsOfSample(classes)
  const outputs = ['loss', 'dice', 'crossEntropy', 'slopes']
  const row = (index: string): string => `
    if (lane < ${classes}u) {
      let sum = reference + predicted;
      let denominator = ${jaccard ? '2.0 * (sum - intersection)' : 'sum'} + u.smoothDr;
      let numerator = 2.0 * intersection + u.smoothNr;
      let counts = ${includeBackground ? 'true' : 'lane > 0u'};
      // d(1 - num / den) = -(2 g) / den + num / den^2 dden, dden = dP, or 2 (dP - g) with jaccard; dP = 2 p or 1.
      let perDenominator = numerator / denominator / denominator * ${jaccard ? '2.0' : '1.0'};
      let flat = ${squaredPred ? '0.0' : 'perDenominator'};
      let at = ${index} * ${3 * classes}u + lane;
      slopes[at] = select(0.0, u.weight * (flat - 2.0 / denominator - ${jaccard ? 'perDenominator' : '0.0'}), counts);
      slopes[at + ${classes}u] = select(0.0, u.weight * flat, counts);
      slopes[at + ${2 * classes}u] = select(0.0, u.weight * ${squaredPred ? '2.0 * perDenominator' : '0.0'}, counts);
      diceOfClass += select(0.0, 1.0 - numerator / denominator, counts);
    }`
  return {
    name: 'DiceCrossEntropy loss',
    bindings: [
      ...['partial', ...(given ? ['sums'] : [])].map(name => ({ name, type: 'array<f32>', access: 'read' }) as const),
      ...outputs.map(name => ({ name, type: 'array<f32>', access: 'read_write' }) as const),
    ],
    uniforms: {
      tasks: 'u32',
      samples: 'u32',
      chunks: 'u32',
      terms: 'f32',
      weight: 'f32',
      lambdaDice: 'f32',
      lambdaCe: 'f32',
      perVoxel: 'f32',
      smoothNr: 'f32',
      smoothDr: 'f32',
    },
    code: `${declarations}
${taskMain(`
  let c = min(lane, ${classes - 1}u);
  var intersection = 0.0;
  var reference = 0.0;
  var predicted = 0.0;
  var negativeLog = 0.0;
  var diceOfClass = 0.0;
  for (var n = ${alone ? 'task' : '0u'}; n < ${alone ? 'task + 1u' : 'u.samples'}; n++) {
    ${code}
    ${batch ? '' : 'intersection = 0.0; reference = 0.0; predicted = 0.0;'}
    intersection += totals[c];
    reference += totals[${classes}u + c];
    predicted += totals[${2 * classes}u + c];
    negativeLog += totals[${3 * classes}u];
    ${batch ? '' : row('n')}
    workgroupBarrier();
  }
  ${given ? `intersection = sums[c]; reference = sums[${classes}u + c]; predicted = sums[${2 * classes}u + c];` : ''}
  ${batch ? row(alone ? 'task' : '0u') : ''}
  slots[lane] = diceOfClass;
  workgroupBarrier();
  if (lane == 0u) {
    let ofDice = (${written(classes, k => `slots[${k}]`, ' + ')}) / u.terms;
    let ofCrossEntropy = negativeLog * u.perVoxel;
    let at = ${alone ? 'task' : '0u'};
    dice[at] = ofDice;
    crossEntropy[at] = ofCrossEntropy;
    loss[at] = u.lambdaDice * ofDice + u.lambdaCe * ofCrossEntropy;
  }`)}`,
  }
}

/** Through the soft-max: p (slope - sum of slope p), and p - g of the cross-entropy. */
function gradient(classes: number): Program {
  const isVector = widthOf(classes) > 1
  return {
    name: 'DiceCrossEntropy gradient',
    bindings: [
      logitsBinding(classes),
      { name: 'labels', type: 'array<i32>', access: 'read' },
      { name: 'slopes', type: 'array<f32>', access: 'read' },
      { ...logitsBinding(classes), name: 'dlogits', access: 'read_write' },
    ],
    uniforms: { size: 'u32', voxelsPerRow: 'u32', crossEntropy: 'f32' },
    code: `${functions}
${elementMain(`
    let v = i;
    let row = i / u.voxelsPerRow * ${3 * classes}u;
    ${softmaxOf(classes)}
    var projection = 0.0;
    ${forClasses(
      classes,
      c => `
      let p = e[${c}] / total;
      let at = row + ${c};
      l[${c}] = slopes[at + select(${classes}u, 0u, label == ${c})] + slopes[at + ${2 * classes}u] * p;
      e[${c}] = p;
      projection += l[${c}] * p;`,
    )}
    ${isVector ? `var result: vec${classes}f;` : ''}
    ${forClasses(
      classes,
      c => `
      let away = e[${c}] - select(0.0, 1.0, label == ${c});
      ${isVector ? `result[${c}]` : `dlogits[v * ${classes}u + ${c}]`} = e[${c}] * (l[${c}] - projection) + u.crossEntropy * away;`,
    )}
    ${isVector ? 'dlogits[v] = result;' : ''}`)}`,
  }
}
