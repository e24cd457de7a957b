/** `export`: weights in a format that other programs read. */

import { existsSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { adamState, defaultAdam } from '../model/adam.ts'
import { writeCheckpoint } from '../model/checkpoint.ts'
import { writeOnnx } from '../model/onnx.ts'
import { segresnetParameters } from '../model/segresnet.ts'
import { writeTorch } from '../model/torch/write-torch.ts'
import { refuseOtherThanFile } from '../model/write-whole.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { version } from '../pipeline/version.ts'
import { optimizerOf, readNetwork, weightsOnly, type KnownNetwork } from './checkpoint-network.ts'
import { trainConfOf } from './segresnet-args.ts'

export interface ExportOptions {
  readonly network?: KnownNetwork
  /** For .pt: the state_dict alone, as `model.state_dict()` is. */
  readonly bare?: boolean
  readonly force?: boolean
}

/** Formats by the ending of the file to write. */
const exportFormats = ['.pt', '.pth', '.safetensors', '.onnx'] as const

/** Writes `out` from a checkpoint of ours or PyTorch's; lines for people. ERR_WEIGHTS, ERR_OUTPUT. */
export async function exportCheckpoint(path: string, out: string, options: ExportOptions = {}): Promise<string[]> {
  const format = extname(out).toLowerCase()
  if (!(exportFormats as readonly string[]).includes(format))
    throw new PipelineError(
      'ERR_OUTPUT',
      `${out}: expected a file that ends with ${exportFormats.join(', ')}, found "${format}"`,
      { path: out },
    )
  const { checkpoint, known } = await readNetwork(path, options.network)
  const { network, from } = known
  refuseOverwriting(resolve(out), path, options.force ?? false)
  const order = segresnetParameters(network).map(({ name }) => name)
  const weights = weightsOnly(checkpoint.tensors)
  const ordered = new Map([
    ...order.map(name => [name, weights.get(name)!] as const),
    ...[...checkpoint.tensors].filter(([name]) => name.startsWith(adamState.prefix)),
  ])
  const lines = [`${path}: ${checkpoint.notes.join('; ')}`, `network: from ${from}`]
  const optimizer = optimizerOf(checkpoint)
  const hasState = checkpoint.tensors.has(adamState.step)
  if (format === '.onnx') {
    await writeOnnx(out, network, ordered, version())
  } else if (format === '.safetensors') {
    await writeCheckpoint(out, ordered, { network, ...(optimizer && { optimizer }) })
  } else {
    await writeTorch(out, {
      tensors: ordered,
      ...(hasState && { optimizer: optimizer ?? defaultAdam }),
      trainConf: trainConfOf(network),
      bare: options.bare ?? false,
    })
    if (hasState && !optimizer && !options.bare)
      lines.push(
        `the optimiser's options are not in ${path}: learning rate ${defaultAdam.learningRate} and PyTorch's defaults written`,
      )
  }
  return [...lines, `written: ${resolve(out)}`]
}

/** ERR_OUTPUT before anything is written. */
function refuseOverwriting(path: string, source: string, force: boolean): void {
  refuseOtherThanFile(path)
  const refuse = (why: string): never => {
    throw new PipelineError('ERR_OUTPUT', `${path}: ${why}`, { path })
  }
  if (path === resolve(source)) refuse('is the file that is read; name another file to write')
  if (!force && existsSync(path)) refuse('is there already; name another file to write, or allow it with --force')
}
