/**
 * The 3-D convolution and its two gradients as plain loops in float64: what every backend is compared with.
 * Layout (N, D, H, W, C), filters (kd, kh, kw, ci, co), zero padding, correlation (no flip), as in tfjs and PyTorch.
 */

export type Shape5 = readonly [number, number, number, number, number]

/** One number for all three axes, or one per axis (D, H, W). */
export type PerAxis = number | readonly [number, number, number]

/** y[o] = sum over k of x[o * stride - pad + k] * filter[k]. */
export function conv3d(
  x: ArrayLike<number>,
  xShape: Shape5,
  filter: ArrayLike<number>,
  filterShape: Shape5,
  stride: PerAxis,
  pad: PerAxis,
): { y: Float64Array; shape: Shape5 } {
  const shape = outputShape(xShape, filterShape, stride, pad)
  const y = new Float64Array(shape.reduce((a, b) => a * b, 1))
  forEachTap(xShape, filterShape, shape, stride, pad, (xVoxel, tap, yVoxel) => {
    const [, , , ci, co] = filterShape
    for (let i = 0; i < ci; i++)
      for (let o = 0; o < co; o++) y[yVoxel * co + o]! += x[xVoxel * ci + i]! * filter[(tap * ci + i) * co + o]!
  })
  return { y, shape }
}

/** dx, with the shape of x. */
export function conv3dInputGradient(
  dy: ArrayLike<number>,
  dyShape: Shape5,
  filter: ArrayLike<number>,
  filterShape: Shape5,
  xShape: Shape5,
  stride: PerAxis,
  pad: PerAxis,
): Float64Array {
  const dx = new Float64Array(xShape.reduce((a, b) => a * b, 1))
  forEachTap(xShape, filterShape, dyShape, stride, pad, (xVoxel, tap, yVoxel) => {
    const [, , , ci, co] = filterShape
    for (let i = 0; i < ci; i++)
      for (let o = 0; o < co; o++) dx[xVoxel * ci + i]! += dy[yVoxel * co + o]! * filter[(tap * ci + i) * co + o]!
  })
  return dx
}

/** dfilter, with the shape of the filter. */
export function conv3dFilterGradient(
  x: ArrayLike<number>,
  xShape: Shape5,
  dy: ArrayLike<number>,
  dyShape: Shape5,
  filterShape: Shape5,
  stride: PerAxis,
  pad: PerAxis,
): Float64Array {
  const dfilter = new Float64Array(filterShape.reduce((a, b) => a * b, 1))
  forEachTap(xShape, filterShape, dyShape, stride, pad, (xVoxel, tap, yVoxel) => {
    const [, , , ci, co] = filterShape
    for (let i = 0; i < ci; i++)
      for (let o = 0; o < co; o++) dfilter[(tap * ci + i) * co + o]! += x[xVoxel * ci + i]! * dy[yVoxel * co + o]!
  })
  return dfilter
}

/** out = floor((in + 2 pad - kernel) / stride) + 1 on each axis. */
export function outputShape(xShape: Shape5, filterShape: Shape5, stride: PerAxis, pad: PerAxis): Shape5 {
  const s = perAxis(stride)
  const p = perAxis(pad)
  const out = (axis: 0 | 1 | 2): number =>
    Math.floor((xShape[axis + 1]! + 2 * p[axis] - filterShape[axis]) / s[axis]) + 1
  return [xShape[0], out(0), out(1), out(2), filterShape[4]]
}

/** Calls `visit` for every pair of an output voxel and a filter tap that falls inside the input. */
function forEachTap(
  xShape: Shape5,
  filterShape: Shape5,
  yShape: Shape5,
  stride: PerAxis,
  pad: PerAxis,
  visit: (xVoxel: number, tap: number, yVoxel: number) => void,
): void {
  const [sd, sh, sw] = perAxis(stride)
  const [pd, ph, pw] = perAxis(pad)
  const [n, xd, xh, xw] = xShape
  const [kd, kh, kw] = filterShape
  const [, yd, yh, yw] = yShape
  for (let b = 0; b < n; b++)
    for (let oz = 0; oz < yd; oz++)
      for (let oy = 0; oy < yh; oy++)
        for (let ox = 0; ox < yw; ox++)
          for (let kz = 0; kz < kd; kz++)
            for (let ky = 0; ky < kh; ky++)
              for (let kx = 0; kx < kw; kx++) {
                const iz = oz * sd - pd + kz
                const iy = oy * sh - ph + ky
                const ix = ox * sw - pw + kx
                if (iz < 0 || iz >= xd || iy < 0 || iy >= xh || ix < 0 || ix >= xw) continue
                visit(
                  ((b * xd + iz) * xh + iy) * xw + ix,
                  (kz * kh + ky) * kw + kx,
                  ((b * yd + oz) * yh + oy) * yw + ox,
                )
              }
}

function perAxis(value: PerAxis): readonly [number, number, number] {
  return typeof value === 'number' ? [value, value, value] : value
}
