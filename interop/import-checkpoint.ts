/** `import`: a checkpoint of PyTorch's becomes safetensors and the network's definition. */

import { writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { readCheckpoint, writeCheckpoint } from '../model/checkpoint.ts'
import { sizeOf } from '../model/parameters.ts'
import { PipelineError } from '../pipeline/errors.ts'
import type { ImportedCheckpoint } from './mmar/import.ts'
import { optimizerOf, readNetwork, weightsOnly, type KnownNetwork } from './checkpoint-network.ts'
import { definitionsOf } from './train-conf-definitions.ts'
import { writeFolder } from './write-folder.ts'

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
  /** Definitions that train_conf amounts to, where it holds a pipeline. */
  readonly definitions: readonly string[]
  /** For people, a line each. */
  readonly lines: readonly string[]
}

/** Reads, checks that the weights are the network's, then writes all files or none. ERR_WEIGHTS, ERR_OUTPUT. */
export async function importCheckpoint(path: string, options: ImportOptions = {}): Promise<Imported> {
  const name = basename(path).replace(/\.(pt|pth|bin|ckpt|safetensors)$/i, '')
  const weights = resolve(options.out ?? join(dirname(path), `${name}.safetensors`))
  const stem = weights.replace(/\.safetensors$/i, '')
  const network = `${stem}.network.json`
  if (extname(weights).toLowerCase() !== '.safetensors')
    throw new PipelineError('ERR_OUTPUT', `${weights}: expected a file that ends with .safetensors`, { path: weights })
  if (weights === resolve(path))
    throw new PipelineError('ERR_OUTPUT', `${weights}: is the file that is read; name another with --out`, {
      path: weights,
    })
  const { checkpoint, known } = await readNetwork(path, options.network)
  const optimizer = optimizerOf(checkpoint)
  const conf = definitionsOf(checkpoint.trainConf, known.network, basename(weights))
  const files = new Map<string, object>([
    [network, { ...known.network, weights: basename(weights) }],
    ...Object.entries(conf.definitions).map(([task, definition]) => [`${stem}.${task}.json`, definition] as const),
  ])
  const names = [weights, ...files.keys()].map(file => basename(file))
  await writeFolder(dirname(weights), names, options.force ?? false, async folder => {
    await writeCheckpoint(join(folder, basename(weights)), checkpoint.tensors, {
      network: known.network,
      ...(optimizer && { optimizer }),
      imported: basename(path),
    })
    for (const [file, content] of files)
      await writeFile(join(folder, basename(file)), `${JSON.stringify(content, null, 2)}\n`)
  })
  const count = [...weightsOnly(checkpoint.tensors).values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const definitions = [...files.keys()].slice(1)
  return {
    weights,
    network,
    definitions,
    lines: [
      `${path}: ${checkpoint.notes.join('; ')}`,
      `network: SegResNet with ${count.toLocaleString('en')} parameters, from ${known.from}`,
      `weights: ${weights}`,
      `the definition's "network": ${network}`,
      ...(definitions.length > 0 ? ['its train_conf:', ...conf.lines.map(line => `  ${line}`)] : []),
      ...definitions.map(file => `a definition from train_conf, to be given your data set: ${file}`),
    ],
  }
}

/** A package's weights, for `import-mmar`: the optimiser's state stays with `import`. */
export async function readImported(path: string): Promise<ImportedCheckpoint> {
  const { tensors, trainConf, notes } = await readCheckpoint(path)
  const weights = weightsOnly(tensors)
  const leftOut =
    weights.size < tensors.size ? [`the optimiser's state is left out: run-pipeline import ${path} takes it`] : []
  return { tensors: weights, ...(trainConf !== undefined && { trainConf }), notes: [...notes, ...leftOut] }
}
