/** `import`: a checkpoint of PyTorch's becomes safetensors and the network's definition. */

import { existsSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { writeCheckpoint } from '../model/checkpoint.ts'
import { sizeOf } from '../model/parameters.ts'
import { refuseOtherThanFile, writeWhole } from '../model/write-whole.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { optimizerOf, readNetwork, weightsOnly, type KnownNetwork } from './checkpoint-network.ts'

export interface ImportOptions {
  /** The .safetensors file to write; default: beside the checkpoint, with its name. */
  readonly out?: string
  /** The network, where the user says what it is. */
  readonly network?: KnownNetwork
  /** Write over files that are there. */
  readonly force?: boolean
}

export interface Imported {
  readonly weights: string
  /** The file with the definition's "network". */
  readonly network: string
  /** For people, a line each. */
  readonly lines: readonly string[]
}

/** Reads, checks that the weights are the network's, then writes both files. ERR_WEIGHTS, ERR_OUTPUT. */
export async function importCheckpoint(path: string, options: ImportOptions = {}): Promise<Imported> {
  const stem = basename(path).replace(/\.(pt|pth|bin|ckpt|safetensors)$/i, '')
  const weights = resolve(options.out ?? join(dirname(path), `${stem}.safetensors`))
  const network = `${weights.replace(/\.safetensors$/i, '')}.network.json`
  if (extname(weights).toLowerCase() !== '.safetensors')
    throw new PipelineError('ERR_OUTPUT', `${weights}: expected a file that ends with .safetensors`, { path: weights })
  const { checkpoint, known } = await readNetwork(path, options.network)
  const optimizer = optimizerOf(checkpoint)
  refuseOverwriting([weights, network], path, options.force ?? false)
  await writeCheckpoint(weights, checkpoint.tensors, {
    network: known.network,
    ...(optimizer && { optimizer }),
    imported: basename(path),
  })
  const fragment = { ...known.network, weights: basename(weights) }
  await writeWhole(network, [Buffer.from(`${JSON.stringify(fragment, null, 2)}\n`)])
  const count = [...weightsOnly(checkpoint.tensors).values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  return {
    weights,
    network,
    lines: [
      `${path}: ${checkpoint.notes.join('; ')}`,
      `network: SegResNet with ${count.toLocaleString('en')} parameters, from ${known.from}`,
      `weights: ${weights}`,
      `the definition's "network": ${network}`,
    ],
  }
}

/** ERR_OUTPUT before anything is written. */
export function refuseOverwriting(paths: readonly string[], source: string, force: boolean): void {
  for (const path of paths) {
    refuseOtherThanFile(path)
    if (path === resolve(source))
      throw new PipelineError('ERR_OUTPUT', `${path}: is the file that is read; name another with --out`, { path })
    if (!force && existsSync(path))
      throw new PipelineError(
        'ERR_OUTPUT',
        `${path}: is there already; name another with --out, or allow it with --force`,
        {
          path,
        },
      )
  }
}
