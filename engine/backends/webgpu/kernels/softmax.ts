/** Soft-max over the last axis. */

import type { Program } from '../program.ts'
import { elementGroups, elementMain } from './entry.ts'
import { functions, nanBits } from './functions.ts'
import { sizeOf } from './kernel.ts'
import type { PartialKernel } from './partial.ts'

export const softmax: PartialKernel = ({ inputs, backend, attrs }) => {
  const logits = inputs['logits']!
  const { shape } = logits
  const last = [-1, shape.length - 1].includes(attrs['dim'] as number)
  if (logits.dtype !== 'float32' || !last || sizeOf(shape) === 0) return undefined
  const classes = shape.at(-1) ?? 1
  const p = backend.output(shape)
  const size = sizeOf(shape) / classes
  backend.run('Softmax', () => program, {
    buffers: { logits, p },
    uniforms: { size, classes, nan: nanBits },
    workgroups: elementGroups(size),
  })
  return p
}

/** An invocation has a row, which stays in the caches for the three times that it is read. */
const program: Program = {
  name: 'Softmax',
  bindings: [
    { name: 'logits', type: 'array<f32>', access: 'read' },
    { name: 'p', type: 'array<f32>', access: 'read_write' },
  ],
  uniforms: { size: 'u32', classes: 'u32', nan: 'u32' },
  code: `${functions}
${elementMain(`
  let begin = i * u.classes;
  let end = begin + u.classes;
  var most = logits[begin];
  var known = true;
  for (var at = begin; at < end; at++) {
    most = max(most, logits[at]);
    known = known && !isNan(logits[at]);
  }
  var total = 0.0;
  for (var at = begin; at < end; at++) { total += exponential(logits[at] - most); }
  known = known && isFinite(most);
  for (var at = begin; at < end; at++) {
    p[at] = select(bitcast<f32>(u.nan), exponential(logits[at] - most) / total, known);
  }`)}`,
}
