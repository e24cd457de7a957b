/** Weights between PyTorch's axis order and the engine's, and whether a set of them fits a network. */

import { PipelineError } from '../pipeline/errors.ts'
import { adamState } from './adam.ts'
import type { ParameterSpec, Shapes } from './parameters.ts'

/** The engine's shape of a parameter: (co, ci, kx, ky, kz) becomes (kz, ky, kx, ci, co), all else stays. */
export function engineShape(shape: readonly number[]): number[] {
  return shape.length === 5 ? shape.toReversed() : [...shape]
}

/**
 * A filter from PyTorch's (co, ci, kx, ky, kz) to the engine's (kz, ky, kx, ci, co), z being a volume's slowest axis here
 * and its last there; other shapes pass as a copy.
 */
export function toEngineOrder(data: Float32Array, shape: readonly number[]): Float32Array {
  return permute(data, shape, (out, source, at, from) => {
    out[at] = source[from]!
  })
}

/** The inverse of `toEngineOrder`; `shape` is still PyTorch's. */
export function fromEngineOrder(data: Float32Array, shape: readonly number[]): Float32Array {
  return permute(data, shape, (out, source, at, from) => {
    out[from] = source[at]!
  })
}

function permute(
  data: Float32Array,
  shape: readonly number[],
  copy: (out: Float32Array, source: Float32Array, engineIndex: number, torchIndex: number) => void,
): Float32Array {
  if (shape.length !== 5) return data.slice()
  const [co, ci, kx, ky, kz] = shape as [number, number, number, number, number]
  const out = new Float32Array(data.length)
  let at = 0
  for (let z = 0; z < kz; z++)
    for (let y = 0; y < ky; y++)
      for (let x = 0; x < kx; x++)
        for (let i = 0; i < ci; i++)
          for (let o = 0; o < co; o++) copy(out, data, at++, (((o * ci + i) * kx + x) * ky + y) * kz + z)
  return out
}

/** One ERR_WEIGHTS that lists every missing, unexpected and misshapen tensor; `source` says whose they are. */
export function checkWeights(weights: Shapes, specs: readonly ParameterSpec[], source = 'weights'): void {
  const expected = new Map(specs.map(spec => [spec.name, spec.shape]))
  const missing = [...expected.keys()].filter(name => !weights.has(name))
  const unexpected = [...weights.keys()].filter(name => !expected.has(name))
  const misshapen = [...expected].flatMap(([name, shape]) => {
    const found = weights.get(name)?.shape
    return found && !sameShape(found, shape) ? [{ name, expected: shape, found }] : []
  })
  if (missing.length + unexpected.length + misshapen.length === 0) return
  const lines = [
    `${source}: expected the ${specs.length} tensors of the network, found ${weights.size} tensors that differ from them; give the network the options that the weights were trained with`,
    ...listed('missing', missing),
    ...listed('unexpected', unexpected),
    ...listed(
      'misshapen',
      misshapen.map(({ name, expected, found }) => `${name} (expected ${shown(expected)}, found ${shown(found)})`),
    ),
  ]
  throw new PipelineError('ERR_WEIGHTS', lines.join('\n'), { missing, unexpected, misshapen })
}

/** `checkWeights` for weights that may have the optimiser's state beside them, by the names of model/adam.ts: whole or not at all. */
export function checkCheckpoint(tensors: Shapes, specs: readonly ParameterSpec[], source?: string): void {
  const hasState = [...tensors.keys()].some(name => name.startsWith(adamState.prefix))
  checkWeights(tensors, hasState ? withState(specs) : specs, source)
}

function withState(specs: readonly ParameterSpec[]): ParameterSpec[] {
  return [
    ...specs,
    ...specs.map(spec => ({ ...spec, name: adamState.expAvg(spec.name) })),
    ...specs.map(spec => ({ ...spec, name: adamState.expAvgSq(spec.name) })),
    { name: adamState.step, shape: [], kind: 'shift', fanIn: 0 },
  ]
}

function listed(what: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`  ${what} (${names.length}): ${names.join(', ')}`]
}

function shown(shape: readonly number[]): string {
  return shape.length === 0 ? 'a scalar' : shape.join(' x ')
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis])
}
