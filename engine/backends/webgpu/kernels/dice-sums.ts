/** Dice's sums over voxels, which the loss begins with; and soft-max in WGSL. */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Program } from '../program.ts'
import { spread } from '../program.ts'
import { checkFloats } from './dtypes.ts'
import { written, lanes, taskMain, tree } from './entry.ts'
import { functions, nanBits } from './functions.ts'
import { check, checkShape, checkVolumes, kernel, type Call } from './kernel.ts'

const mostClasses = 32

export interface Geometry {
  readonly samples: number
  /** Of a sample. */
  readonly voxels: number
  readonly classes: number
  readonly voxelsPerChunk: number
  /** Of a sample. */
  readonly chunks: number
}

/** A lane adds up 32 voxels one after the other at most, and 4 unless that leaves few workgroups. */
const [fewestPasses, mostPasses] = [4, 32]
const chunksWanted = 512

/** {logits, labels} -> sums (3, C): intersection, reference and prediction of each class over all samples. */
export const diceSums = kernel('DiceSums', call => {
  const { backend, attrs } = call
  const geometry = checkInputs(call)
  const { samples, classes, chunks } = geometry
  const partial = sumsOfChunks(call, geometry, Boolean(attrs['squaredPred']))
  const sums = backend.output([3, classes])
  backend.run(`DiceSums ${classes}`, () => batchSumsOf(classes), {
    buffers: { partial, sums },
    uniforms: { tasks: 1, samples, chunks },
    workgroups: [1, 1, 1],
  })
  backend.disposeData(partial.dataId)
  return [sums]
})

export function checkInputs({ inputs }: Call): Geometry {
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

/** Of a chunk or sample: intersection, reference and prediction of each class, then -log p of the label. */
function quantities(classes: number): number {
  return 3 * classes + 1
}

/** (N, chunks, 3 C + 1). */
export function sumsOfChunks({ inputs, backend }: Call, geometry: Geometry, squaredPred: boolean): TensorInfo {
  const { samples, voxels, classes, voxelsPerChunk, chunks } = geometry
  const partial = backend.output([samples, chunks, quantities(classes)])
  backend.run(`DiceCrossEntropy sums ${classes} ${squaredPred}`, () => chunkSums(classes, squaredPred), {
    buffers: { logits: inputs['logits']!, labels: inputs['labels']!, partial },
    uniforms: { tasks: samples * chunks, voxels, voxelsPerChunk, chunks, nan: nanBits },
    workgroups: spread(samples * chunks),
  })
  return partial
}

/** Code for up to so many classes is written out, which keeps their numbers in registers; more are loops. */
const mostWrittenOut = 4

export function forClasses(classes: number, body: (c: string) => string): string {
  if (classes <= mostWrittenOut) return written(classes, c => `{ ${body(`${c}u`)} }`)
  return `for (var c = 0u; c < ${classes}u; c++) { ${body('c')} }`
}

/** Logits that are read at once. */
export function widthOf(classes: number): 1 | 2 | 4 {
  return classes === 4 ? 4 : classes === 2 ? 2 : 1
}

export function logitsBinding(classes: number): { name: string; type: string; access: 'read' } {
  const width = widthOf(classes)
  return { name: 'logits', type: width === 1 ? 'array<f32>' : `array<vec${width}f>`, access: 'read' }
}

/** Declares for voxel `v` logits - max in `l`, exp of that in `e`, the sum of these in `total`, and its `label`. */
export function softmaxOf(classes: number): string {
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
    ${written(some, k => `slots[${k}][lane] = ${count <= sumsAtOnce ? `sums[${k}]` : `sums[min(first + ${k}u, ${count - 1}u)]`};`)}
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
export function totalsOfSample(classes: number): { declarations: string; code: string } {
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
