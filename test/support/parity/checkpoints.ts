/** PyTorch checkpoints in every dress: the weights must come out the same. */

import type { Tensors } from '../../../pipeline/engine.ts'
import { maxDifference } from '../numbers.ts'
import { equality, largest, overCases, type Check } from './check.ts'
import type { References } from './references.ts'
import { weightsOf } from './weights.ts'

/** By what a file's name says; the first that fits. */
const dresses: readonly {
  readonly step: string
  readonly pattern: RegExp
  readonly round: (value: number) => number
}[] = [
  { step: 'checkpoint, float16', pattern: /float16(?<!bfloat16)/, round: toFloat16 },
  { step: 'checkpoint, bfloat16', pattern: /bfloat16/, round: toBfloat16 },
  { step: 'checkpoint, "module." before the names', pattern: /ddp/, round: Math.fround },
  { step: 'checkpoint, channels last', pattern: /channels-last/, round: Math.fround },
  { step: 'checkpoint, one storage for all', pattern: /one-storage/, round: Math.fround },
  { step: 'checkpoint, other dresses', pattern: /./, round: Math.fround },
]

export const checkpointChecks: readonly Check[] = [
  {
    step: 'checkpoint, legacy format',
    quantity: 'values',
    unit: 'of the value',
    tolerance: 0,
    run: async references => {
      const { network } = references.index
      if (!network?.legacy) return undefined
      const [expected, found] = [await whole(references, network.checkpoint), await whole(references, network.legacy)]
      return {
        difference: difference(found, expected, [...expected.keys()], Math.fround),
        count: `${expected.size} tensors`,
      }
    },
  },
  ...dresses.map(({ step, pattern, round }, at): Check => ({
    step,
    quantity: round === Math.fround ? 'values' : 'values, rounded',
    unit: 'of the value',
    tolerance: 0,
    rare: at === dresses.length - 1,
    run: references => {
      const { files = [], tensors = [], of = '' } = references.index.checkpoint_variants ?? {}
      const fitting = files.filter(
        file => dresses.findIndex(dress => dress.pattern.test(file)) === at && pattern.test(file),
      )
      return overCases(fitting, `files of ${tensors.length} tensors`, async file =>
        difference(await whole(references, file), await whole(references, of), tensors, round),
      )
    },
  })),
]

function whole(references: References, file: string): Promise<Tensors> {
  return references.once(`weights of ${file}`, () => weightsOf(references.path(file)))
}

function difference(
  found: Tensors,
  expected: Tensors,
  names: readonly string[],
  round: (value: number) => number,
): number {
  if (found.size !== names.length) return Infinity
  return largest(
    names.map(name => {
      const [a, b] = [found.get(name), expected.get(name)!]
      if (!a) return Infinity
      return largest([equality(a.shape, b.shape), maxDifference(a.data, b.data.map(round))])
    }),
  )
}

/** The nearest float16, ties to even. */
function toFloat16(value: number): number {
  const size = Math.abs(value)
  // Eleven bits from 2^-14 on, below that a fixed step.
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 1e-30)), -14) - 10)
  return Math.sign(value) * halfEven(size / step) * step
}

/** The nearest bfloat16, ties to even. */
function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)
  const rest = bits[0]! & 0xffff
  const odd = (bits[0]! >>> 16) & 1
  const up = rest > 0x8000 || (rest === 0x8000 && odd === 1) ? 0x10000 : 0
  bits[0] = ((bits[0]! & 0xffff0000) + up) >>> 0
  return new Float32Array(bits.buffer)[0]!
}

function halfEven(value: number): number {
  const floor = Math.floor(value)
  const over = value - floor
  return over > 0.5 || (over === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
