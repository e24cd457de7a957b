/** Checkpoints in any format that is read and written here, told apart by their first bytes. */

import type { AdamOptions } from './adam.ts'
import type { Shapes } from './parameters.ts'
import { roundingNote } from './dtypes.ts'
import { readSafetensors, writeSafetensors, type Metadata } from './safetensors.ts'
import { FileBytes } from './torch/file-bytes.ts'
import { readTorch } from './torch/state-dict.ts'
import type { Tensors } from '../pipeline/engine.ts'

/** What a checkpoint holds, its values aside. */
export interface Outline {
  /** Weights and, where the file has it, the optimiser's state, by the names of model/adam.ts. */
  readonly tensors: Shapes
  /** What the writer told beside the tensors, such as `network`; safetensors' metadata, parsed. */
  readonly facts: Readonly<Record<string, unknown>>
  /** The published package's `train_conf`, plain data. */
  readonly trainConf?: unknown
}

export interface Checkpoint extends Outline {
  readonly format: 'safetensors' | 'torch'
  readonly tensors: Tensors
  /** What the optimiser's state was made with, where a PyTorch file says so. */
  readonly optimizer?: AdamOptions
  /** For people: what the file is, and what was left out of it. */
  readonly notes: readonly string[]
}

/**
 * Reads a .safetensors or PyTorch file. ERR_WEIGHTS says what is wrong with it. `check` may throw before any values are
 * read: weights of another network may be gigabytes.
 */
export async function readCheckpoint(path: string, check: (outline: Outline) => void = () => {}): Promise<Checkpoint> {
  if (startsAsTorch(path)) {
    const content = await readTorch(path, outline => check({ facts: {}, ...outline }))
    return { format: 'torch', facts: {}, ...content }
  }
  const { tensors, metadata, rounded } = await readSafetensors(path, outline =>
    check({ tensors: outline.tensors, facts: factsOf(outline.metadata) }),
  )
  return {
    format: 'safetensors',
    tensors,
    facts: factsOf(metadata),
    notes: [`safetensors, ${tensors.size} tensors`, ...roundingNote(rounded)],
  }
}

/** Writes safetensors whole or not at all; the facts go into its metadata as JSON. */
export async function writeCheckpoint(
  path: string,
  tensors: Tensors,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  const metadata = Object.entries(facts).map(([name, value]) => [name, JSON.stringify(value)])
  await writeSafetensors(path, tensors, Object.fromEntries(metadata))
}

/**
 * A zip archive, a pickle or a tar archive goes to the PyTorch reader, which knows how to refuse it; a safetensors file
 * begins with the length of its header, whose first byte may be anything, and then an opening brace.
 */
function startsAsTorch(path: string): boolean {
  const file = new FileBytes(path)
  try {
    const head = file.read(0, Math.min(file.size, 16))
    return head[8] !== 0x7b && !/\.safetensors$/i.test(path)
  } finally {
    file.close()
  }
}

function factsOf(metadata: Metadata): Record<string, unknown> {
  return Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, parsed(text)]))
}

/** Other writers' metadata is text that need not be JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
