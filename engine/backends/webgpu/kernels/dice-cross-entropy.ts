/**
 * Soft-max, Dice and cross-entropy with the gradient of the logits: sums of chunks of voxels, then the loss and what a
 * voxel needs for its gradient, then the gradients. Sums are float32 in trees; no label is looked at before the GPU has it, so
 * one that is no class counts as the last class: whoever uploads labels checks them.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Program } from '../program.ts'
import { spread } from '../program.ts'
import { checkFloats } from './dtypes.ts'
import { each, elementGroups, elementMain, lanes, taskMain, tree } from './entry.ts'
import { functions } from './functions.ts'
import { check, checkShape, checkVolumes, kernel, type Call } from './kernel.ts'

const mostClasses = 32

interface Geometry {
  readonly samples: number
  /** Of a sample. */
  readonly voxels: number
  readonly classes: number
  readonly voxelsPerChunk: number
  /** Of a sample. */
  readonly chunks: number
}

/** What changes the code. */
interface Flags {
  readonly squaredPred: boolean
  readonly includeBackground: boolean
  readonly jaccard: boolean
  readonly batch: boolean
}

/** A lane adds up 32 voxels one after the other at most, and 4 unless that leaves few workgroups. */
const [fewestPasses, mostPasses] = [4, 32]
const chunksWanted = 512

/**
 * {logits (N, D, H, W, C), labels (N, D, H, W) int32, sums? (3, C)} -> [loss, dice, crossEntropy, dlogits]. `sums` with
 * attrs.batchSums.samples: of a whole batch, see engine/ops/dice-cross-entropy.ts. Logits that are not finite make the loss NaN.
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
  const terms = (flags.batch ? 1 : samples) * (classes - (flags.includeBackground ? 0 : 1))
  const lambdaDice = attrs['lambdaDice'] as number
  const lambdaCe = attrs['lambdaCe'] as number

  const partial = sumsOfChunks(call, geometry, flags.squaredPred)
  const [loss, dice, crossEntropy] = [backend.output([]), backend.output([]), backend.output([])]
  const slopes = backend.output([flags.batch ? 1 : samples, 3, classes])
  const key = `${classes} ${Object.values(flags).map(Number).join('')}`
  backend.run(`DiceCrossEntropy loss ${key} ${given !== undefined}`, () => lossOfSums(classes, flags, !!given), {
    buffers: { partial, ...(given && { sums: given }), loss, dice, crossEntropy, slopes },
    uniforms: {
      tasks: 1,
      samples,
      chunks,
      terms,
      weight: (lambdaDice * (batchSums?.samples ?? 1)) / terms,
      lambdaDice,
      lambdaCe,
      perVoxel: 1 / (samples * voxels),
      smoothNr: attrs['smoothNr'] as number,
      smoothDr: attrs['smoothDr'] as number,
    },
    workgroups: [1, 1, 1],
  })
  const dlogits = backend.output(logits.shape)
  const size = samples * voxels
  backend.run(`DiceCrossEntropy gradient ${classes}`, () => gradient(classes), {
    buffers: { logits, labels, slopes, dlogits },
    uniforms: { size, voxelsPerRow: flags.batch ? size : voxels, crossEntropy: lambdaCe / size },
    workgroups: elementGroups(size),
  })
  for (const { dataId } of [partial, slopes]) backend.disposeData(dataId)
  if (given && given !== inputs['sums']) backend.disposeData(given.dataId)
  return [loss, dice, crossEntropy, dlogits]
})

/** {logits, labels} -> sums (3, C): intersection, reference and prediction of each class over all samples. */
export const diceSums = kernel('DiceSums', call => {
  const { backend, attrs } = call
  const geometry = checkInputs(call)
  const { samples, classes, chunks } = geometry
  const partial = sumsOfChunks(call, geometry, flagsOf(attrs).squaredPred)
  const sums = backend.output([3, classes])
  backend.run(`DiceSums ${classes}`, () => batchSumsOf(classes), {
    buffers: { partial, sums },
    uniforms: { tasks: 1, samples, chunks },
    workgroups: [1, 1, 1],
  })
  backend.disposeData(partial.dataId)
  return [sums]
})

function flagsOf(attrs: Call['attrs']): Flags {
  const flag = (name: string): boolean => Boolean(attrs[name])
  return {
    squaredPred: flag('squaredPred'),
    includeBackground: flag('includeBackground'),
    jaccard: flag('jaccard'),
    batch: flag('batch'),
  }
}

function checkInputs({ inputs }: Call): Geometry {
  const [logits, labels] = [inputs['logits']!, inputs['labels']!]
  const [samples, d, h, w, classes] = logits.shape as [number, number, number, number, number]
  checkVolumes('DiceCrossEntropy', 'logits', logits)
  checkShape('DiceCrossEntropy', 'labels', labels, [samples, d, h, w])
  checkFloats([logits])
  if (labels.dtype !== 'int32') throw new Error(`expected an int32 tensor, found ${labels.dtype}`)
  check(
    classes >= 2 && classes <= mostClasses,
    'DiceCrossEntropy',
    `expected 2 to ${mostClasses} classes, found ${classes}`,
  )
  const voxels = d * h * w
  const fitting = Math.ceil(voxels / (lanes * chunksWanted))
  const voxelsPerChunk = lanes * Math.min(mostPasses, Math.max(fewestPasses, fitting))
  return { samples, voxels, classes, voxelsPerChunk, chunks: Math.ceil(voxels / voxelsPerChunk) }
}

/** Sums that were computed elsewhere. */
function uploaded({ backend }: Call, sums: Float64Array, classes: number): TensorInfo {
  return backend.makeTensorInfo([3, classes], 'float32', Float32Array.from(sums))
}

/** Of a chunk or sample: intersection, reference and prediction of each class, then -log p of the label. */
function quantities(classes: number): number {
  return 3 * classes + 1
}

/** (N, chunks, 3 C + 1). */
function sumsOfChunks({ inputs, backend }: Call, geometry: Geometry, squaredPred: boolean): TensorInfo {
  const { samples, voxels, classes, voxelsPerChunk, chunks } = geometry
  const partial = backend.output([samples, chunks, quantities(classes)])
  backend.run(`DiceCrossEntropy sums ${classes} ${squaredPred}`, () => chunkSums(classes, squaredPred), {
    buffers: { logits: inputs['logits']!, labels: inputs['labels']!, partial },
    uniforms: { tasks: samples * chunks, voxels, voxelsPerChunk, chunks, nan: 0x7fc00000 },
    workgroups: spread(samples * chunks),
  })
  return partial
}

/** Code for up to so many classes is written out, which keeps their numbers in registers; more are loops. */
const mostWrittenOut = 4

function forClasses(classes: number, body: (c: string) => string): string {
  if (classes <= mostWrittenOut) return each(classes, c => `{ ${body(`${c}u`)} }`)
  return `for (var c = 0u; c < ${classes}u; c++) { ${body('c')} }`
}

/** Logits that are read at once. */
function widthOf(classes: number): 1 | 2 | 4 {
  return classes === 4 ? 4 : classes === 2 ? 2 : 1
}

function logitsBinding(classes: number): { name: string; type: string; access: 'read' } {
  const width = widthOf(classes)
  return { name: 'logits', type: width === 1 ? 'array<f32>' : `array<vec${width}f>`, access: 'read' }
}

/** Declares for voxel `v` logits - max in `l`, exp of that in `e`, the sum of these in `total`, and its `label`. */
function softmaxOf(classes: number): string {
  const isVector = widthOf(classes) > 1
  return `
    var l: array<f32, ${classes}>;
    var e: array<f32, ${classes}>;
    ${isVector ? 'let vector = logits[v];' : ''}
    ${forClasses(classes, c => `l[${c}] = ${isVector ? `vector[${c}]` : `logits[v * ${classes}u + ${c}]`};`)}
    var finite = true;
    var most = l[0];
    ${forClasses(classes, c => `finite = finite && isFinite(l[${c}]); most = max(most, l[${c}]);`)}
    var total = 0.0;
    ${forClasses(classes, c => `l[${c}] -= most; e[${c}] = exponential(l[${c}]); total += e[${c}];`)}
    let label = u32(clamp(labels[v], 0, ${classes - 1}));`
}

/** Sums that lie in workgroup memory at once: 8 KiB of them. */
const sumsAtOnce = 8

function chunkSums(classes: number, squaredPred: boolean): Program {
  const count = quantities(classes)
  const some = Math.min(sumsAtOnce, count)
  return {
    name: 'DiceCrossEntropy sums',
    bindings: [
      logitsBinding(classes),
      { name: 'labels', type: 'array<i32>', access: 'read' },
      { name: 'partial', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: { tasks: 'u32', voxels: 'u32', voxelsPerChunk: 'u32', chunks: 'u32', nan: 'u32' },
    code: `${functions}
var<workgroup> slots: array<array<f32, ${lanes}>, ${some}>;
${taskMain(`
  let n = task / u.chunks;
  let begin = (task % u.chunks) * u.voxelsPerChunk;
  let end = min(begin + u.voxelsPerChunk, u.voxels);
  var sums: array<f32, ${count}>; // intersection, reference, prediction of each class, -log p
  for (var at = begin + lane; at < end; at += ${lanes}u) {
    let v = n * u.voxels + at;
    ${softmaxOf(classes)}
    var ofLabel = 0.0;
    ${forClasses(
      classes,
      c => `
      let p = e[${c}] / total;
      let here = label == ${c};
      sums[${c}] += select(0.0, p, here);
      sums[${classes}u + ${c}] += select(0.0, 1.0, here);
      sums[${2 * classes}u + ${c}] += ${squaredPred ? 'p * p' : 'p'};
      ofLabel = select(ofLabel, l[${c}], here);`,
    )}
    sums[${3 * classes}] += logarithm(total) - ofLabel;
    if (!finite) { sums[${3 * classes}] = bitcast<f32>(u.nan); }
  }
  for (var first = 0u; first < ${count}u; first += ${some}u) {
    ${each(some, k => `slots[${k}][lane] = ${count <= sumsAtOnce ? `sums[${k}]` : `sums[min(first + ${k}u, ${count - 1}u)]`};`)}
    ${tree(
      lanes,
      `if (lane < step) {
        for (var k = 0u; k < ${some}u; k++) { slots[k][lane] += slots[k][lane + step]; }
      }`,
    )}
    workgroupBarrier();
    if (lane < ${some}u && first + lane < ${count}u) { partial[task * ${count}u + first + lane] = slots[lane][0]; }
    workgroupBarrier();
  }`)}`,
  }
}

/** Adds up the chunks of sample `n` into `totals`, 32 lanes for each quantity. */
function totalsOfSample(classes: number): { declarations: string; code: string } {
  const count = quantities(classes)
  const along = 32
  const atOnce = lanes / along
  return {
    declarations: `
var<workgroup> slots: array<f32, ${lanes}>;
var<workgroup> totals: array<f32, ${count}>;`,
    code: `
    for (var first = 0u; first < ${count}u; first += ${atOnce}u) {
      let q = first + lane / ${along}u;
      var sum = 0.0;
      if (q < ${count}u) {
        for (var chunk = lane % ${along}u; chunk < u.chunks; chunk += ${along}u) {
          sum += partial[(n * u.chunks + chunk) * ${count}u + q];
        }
      }
      slots[lane] = sum;
      ${tree(along, `if (lane % ${along}u < step) { slots[lane] += slots[lane + step]; }`)}
      if (lane % ${along}u == 0u && q < ${count}u) { totals[q] = slots[lane]; }
      workgroupBarrier();
    }`,
  }
}

function batchSumsOf(classes: number): Program {
  const { declarations, code } = totalsOfSample(classes)
  return {
    name: 'DiceSums',
    bindings: [
      { name: 'partial', type: 'array<f32>', access: 'read' },
      { name: 'sums', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: { tasks: 'u32', samples: 'u32', chunks: 'u32' },
    code: `${declarations}
${taskMain(`
  var own = 0.0;
  for (var n = 0u; n < u.samples; n++) {
    ${code}
    if (lane < ${3 * classes}u) { own += totals[lane]; }
    workgroupBarrier();
  }
  if (lane < ${3 * classes}u) { sums[lane] = own; }`)}`,
  }
}

/**
 * The loss, and per row (sample, or the batch) `slopes` (3, C): d loss / d p is [0] where the label is the class, else [1], plus
 * [2] times p. A lane has a class.
 */
function lossOfSums(
  classes: number,
  { squaredPred, includeBackground, jaccard, batch }: Flags,
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
  for (var n = 0u; n < u.samples; n++) {
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
  ${batch ? row('0u') : ''}
  slots[lane] = diceOfClass;
  workgroupBarrier();
  if (lane == 0u) {
    let ofDice = (${each(classes, k => `slots[${k}]`, ' + ')}) / u.terms;
    let ofCrossEntropy = negativeLog * u.perVoxel;
    dice[0] = ofDice;
    crossEntropy[0] = ofCrossEntropy;
    loss[0] = u.lambdaDice * ofDice + u.lambdaCe * ofCrossEntropy;
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
