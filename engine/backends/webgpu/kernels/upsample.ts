/** Trilinear up-sampling by 2, with a skip connection added in the same pass, and its gradient. See engine/ops/upsample.ts. */

import type { Program } from '../program.ts'
import { checkFloats } from './dtypes.ts'
import { written, elementGroups, elementMain } from './entry.ts'
import { check, checkShape, checkVolumes, kernel, sizeOf } from './kernel.ts'

/** `i` is a unit of channels of a voxel of (N, d, h, w, units). */
const uniforms = { size: 'u32', d: 'u32', h: 'u32', w: 'u32', units: 'u32' } as const

const place = `
  let unit = i % u.units;
  let x0 = i / u.units % u.w;
  let y0 = i / u.units / u.w % u.h;
  let z0 = i / u.units / u.w / u.h % u.d;
  let n = i / u.units / u.w / u.h / u.d;`

/** {x, skip?} -> y, twice as large along each spatial axis. */
export const upsampleTrilinear2 = kernel('UpsampleTrilinear2', ({ inputs, backend }) => {
  const [x, skip] = [inputs['x']!, inputs['skip']]
  checkVolumes('UpsampleTrilinear2', 'x', x)
  const [n, d, h, w, c] = x.shape as [number, number, number, number, number]
  const shape = [n, 2 * d, 2 * h, 2 * w, c]
  if (skip) checkShape('UpsampleTrilinear2', 'skip', skip, shape)
  checkFloats([x, skip])
  const width = c % 4 === 0 ? 4 : 1
  const y = backend.output(shape)
  const size = sizeOf(x.shape) / width
  backend.run(`UpsampleTrilinear2 ${width} ${skip !== undefined}`, () => forward(width, skip !== undefined), {
    buffers: { x, y, ...(skip && { skip }) },
    uniforms: { size, d, h, w, units: c / width },
    workgroups: elementGroups(size),
  })
  return y
})

/** {dy} -> dx, half as large. */
export const upsampleTrilinear2Grad = kernel('UpsampleTrilinear2Grad', ({ inputs, backend }) => {
  const dy = inputs['dy']!
  checkVolumes('UpsampleTrilinear2Grad', 'dy', dy)
  const [n, d, h, w, c] = dy.shape as [number, number, number, number, number]
  const even = [d, h, w].every(size => size % 2 === 0)
  check(even, 'UpsampleTrilinear2Grad', `expected even sizes, found ${d} x ${h} x ${w}`)
  checkFloats([dy])
  const width = c % 4 === 0 ? 4 : 1
  const dx = backend.output([n, d / 2, h / 2, w / 2, c])
  const size = sizeOf(dx.shape) / width
  backend.run(`UpsampleTrilinear2Grad ${width}`, () => gradient(width), {
    buffers: { dy, dx },
    uniforms: { size, d: d / 2, h: h / 2, w: w / 2, units: c / width },
    workgroups: elementGroups(size),
  })
  return dx
})

/** An invocation makes the eight outputs around a voxel from its 27 neighbours, one axis after the other. */
function forward(width: 1 | 4, hasSkip: boolean): Program {
  const type = width === 4 ? 'vec4f' : 'f32'
  return {
    name: 'UpsampleTrilinear2',
    bindings: [
      { name: 'x', type: `array<${type}>`, access: 'read' },
      ...(hasSkip ? [{ name: 'skip', type: `array<${type}>`, access: 'read' } as const] : []),
      { name: 'y', type: `array<${type}>`, access: 'read_write' },
    ],
    uniforms,
    code: `
// Outputs along an axis: [0] between before and here, [1] between here and after.
fn doubled(before: ${type}, here: ${type}, after: ${type}) -> array<${type}, 2> {
  return array(0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after);
}
fn line(row: u32, unit: u32, x0: u32) -> array<${type}, 2> {
  let before = max(x0, 1u) - 1u;
  let after = min(x0 + 1u, u.w - 1u);
  return doubled(x[(row + before) * u.units + unit], x[(row + x0) * u.units + unit], x[(row + after) * u.units + unit]);
}
fn plane(first: u32, unit: u32, y0: u32, x0: u32) -> array<array<${type}, 2>, 2> {
  let a = line(first + (max(y0, 1u) - 1u) * u.w, unit, x0);
  let b = line(first + y0 * u.w, unit, x0);
  let c = line(first + min(y0 + 1u, u.h - 1u) * u.w, unit, x0);
  let left = doubled(a[0], b[0], c[0]);
  let right = doubled(a[1], b[1], c[1]);
  return array(array(left[0], right[0]), array(left[1], right[1])); // [y][x]
}
${elementMain(`${place}
  let slices = n * u.d;
  let area = u.h * u.w;
  let a = plane((slices + max(z0, 1u) - 1u) * area, unit, y0, x0);
  let b = plane((slices + z0) * area, unit, y0, x0);
  let c = plane((slices + min(z0 + 1u, u.d - 1u)) * area, unit, y0, x0);
${written(4, k => {
  const [y, x] = [k >> 1, k & 1]
  const at = (z: number): string =>
    `(((2u * (slices + z0) + ${z}u) * 2u * u.h + 2u * y0 + ${y}u) * 2u * u.w + 2u * x0 + ${x}u) * u.units + unit`
  const store = (z: number): string =>
    `let at${k}${z} = ${at(z)};
  y[at${k}${z}] = pair${k}[${z}]${hasSkip ? ` + skip[at${k}${z}]` : ''};`
  return `
  let pair${k} = doubled(a[${y}][${x}], b[${y}][${x}], c[${y}][${x}]);
  ${store(0)}
  ${store(1)}`
})}`)}`,
  }
}

/** An invocation gathers what its voxel gave to 4 x 4 x 4 outputs. */
function gradient(width: 1 | 4): Program {
  const type = width === 4 ? 'vec4f' : 'f32'
  return {
    name: 'UpsampleTrilinear2Grad',
    bindings: [
      { name: 'dy', type: `array<${type}>`, access: 'read' },
      { name: 'dx', type: `array<${type}>`, access: 'read_write' },
    ],
    uniforms,
    code: `
// What voxel i of n gave to the outputs 2i - 1 to 2i + 2; the outermost are its alone, and beyond them is nothing.
fn weights(i: u32, n: u32) -> vec4f {
  var w = vec4f(0.25, 0.75, 0.75, 0.25);
  if (i == 0u) { w = vec4f(0.0, 1.0, w.zw); }
  if (i + 1u == n) { w = vec4f(w.xy, 1.0, 0.0); }
  return w;
}
fn output(i: u32, k: u32, n: u32) -> u32 { return min(max(2u * i + k, 1u) - 1u, 2u * n - 1u); }
${elementMain(`${place}
  let wz = weights(z0, u.d);
  let wy = weights(y0, u.h);
  let wx = weights(x0, u.w);
  var sum = ${type}(0.0);
  for (var kz = 0u; kz < 4u; kz++) {
    let slice = n * 2u * u.d + output(z0, kz, u.d);
    for (var ky = 0u; ky < 4u; ky++) {
      let row = (slice * 2u * u.h + output(y0, ky, u.h)) * 2u * u.w;
      let line = ${written(4, k => `wx[${k}] * dy[(row + output(x0, ${k}u, u.w)) * u.units + unit]`, ' + ')};
      sum += (wz[kz] * wy[ky]) * line;
    }
  }
  dx[i] = sum;`)}`,
  }
}
