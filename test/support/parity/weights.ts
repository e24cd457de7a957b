/** Checkpoints of the references, and the network that each belongs to. */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { readSafetensors } from '../../../model/safetensors.ts'
import { publishedSegresnet, type SegresnetOptions } from '../../../model/segresnet.ts'
import type { Tensors } from '../../../pipeline/stage.ts'
import { projectRoot } from '../shared.ts'

const read = new Map<string, Promise<Tensors>>()

/** The parameters of a PyTorch checkpoint by their own names, as float32; each file is read once. */
export function weightsOf(path: string): Promise<Tensors> {
  const weights = read.get(path) ?? convertedWeights(path)
  read.set(path, weights)
  return weights
}

async function convertedWeights(path: string): Promise<Tensors> {
  const folder = join(tmpdir(), 'ctflow-parity-weights')
  mkdirSync(folder, { recursive: true })
  const converted = join(folder, `${createHash('sha256').update(path).digest('hex').slice(0, 16)}.safetensors`)
  execFileSync(python()!, ['-c', convert, path, converted])
  return (await readSafetensors(converted)).tensors
}

/** The Python that has PyTorch; undefined where there is none. */
export function python(): string | undefined {
  const found = process.env['PARITY_PYTHON'] ?? join(projectRoot, 'build', 'parity', 'venv', 'bin', 'python')
  return existsSync(found) ? found : undefined
}

const convert = `
import json, struct, sys, torch
o = torch.load(sys.argv[1], map_location="cpu", weights_only=False)
o = o.get("model", o.get("state_dict", o))
header, parts, at = {}, [], 0
for key, value in o.items():
    data = value.detach().float().contiguous().numpy().tobytes()
    header[key.removeprefix("module.")] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + len(data)]}
    parts.append(data)
    at += len(data)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + b"".join(parts))
`

/** The options that weights by PyTorch's names and shapes imply; `groups` leaves no trace in them. */
export function networkOf(weights: Tensors, groups = 8): SegresnetOptions {
  const first = weights.get('convInit.conv.weight')!.shape
  const highest = (pattern: RegExp): number[] => {
    const levels: number[] = []
    for (const name of weights.keys()) {
      const found = pattern.exec(name)
      if (!found) continue
      const [level, block] = [Number(found[1]), Number(found[2])]
      levels[level] = Math.max(levels[level] ?? 0, block)
    }
    return levels
  }
  // On the way down the first of a level's layers is its convolution, or at level 0 nothing.
  const down = highest(/^down_layers\.(\d+)\.(\d+)\./)
  const up = highest(/^up_layers\.(\d+)\.(\d+)\./)
  return {
    ...publishedSegresnet,
    initFilters: first[0]!,
    inChannels: first[1]!,
    outChannels: weights.get('conv_final.2.conv.bias')!.shape[0]!,
    blocksDown: Array.from(down, blocks => blocks ?? 0),
    blocksUp: Array.from(up, last => (last === undefined ? 0 : last + 1)),
    groups,
  }
}
