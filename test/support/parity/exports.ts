/** Weights out: what is written holds the bits that were read, and ONNX Runtime computes the same with it. */

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportCheckpoint } from '../../../interop/export-checkpoint.ts'
import { importCheckpoint } from '../../../interop/import-checkpoint.ts'
import { readCheckpoint } from '../../../model/checkpoint.ts'
import type { Tensors } from '../../../pipeline/engine.ts'
import { maxDifference } from '../numbers.ts'
import { inferWithOnnxRuntime } from '../onnx.ts'
import type { Check, Measured } from './check.ts'
import type { References } from './references.ts'

export const exportChecks: readonly Check[] = [
  ...(['.safetensors', '.pt'] as const).map((ending): Check => ({
    step: `weights out, ${ending}`,
    quantity: 'tensors that are not bit for bit what was imported',
    unit: 'tensors',
    tolerance: 0,
    run: references =>
      inFolder(async folder => {
        const path = checkpointOf(references)
        if (path === undefined) return undefined
        const imported = join(folder, 'imported.safetensors')
        const exported = join(folder, `exported${ending}`)
        await importCheckpoint(path, { out: imported })
        await exportCheckpoint(imported, exported)
        return compared((await readCheckpoint(exported)).tensors, (await readCheckpoint(path)).tensors)
      }),
  })),
  {
    step: 'weights out, ONNX',
    quantity: "ONNX Runtime's logits",
    unit: 'of the logits',
    tolerance: 2e-4,
    run: references =>
      inFolder(async folder => {
        const { network } = references.index
        // The shapes of weights do not tell another number of groups.
        if (!network || (network.groups ?? 8) !== 8) return undefined
        const model = join(folder, 'network.onnx')
        await exportCheckpoint(references.path(network.checkpoint), model)
        const { data, count, shape } = references.channelsLast(network.input)
        const logits = await inferWithOnnxRuntime(await readFile(model), data, count, shape)
        return {
          difference: maxDifference(logits, references.channelsLast(network.logits).data),
          count: `${logits.length} logits`,
        }
      }),
  },
]

/** The checkpoint with most in it: the optimiser's state, where there is one. */
export function checkpointOf(references: References): string | undefined {
  const { adam, network } = references.index
  const file = adam?.checkpoint_after ?? network?.checkpoint
  return file === undefined ? undefined : references.path(file)
}

function compared(found: Tensors, expected: Tensors): Measured {
  const names = new Set([...found.keys(), ...expected.keys()])
  const wrong = [...names].filter(name => {
    const [a, b] = [found.get(name), expected.get(name)]
    return !a || !b || a.shape.join() !== b.shape.join() || !bytes(a).equals(bytes(b))
  })
  return { difference: wrong.length, count: `${names.size} tensors` }
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'ctflow-exports-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

function bytes({ data }: { readonly data: Float32Array }): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
