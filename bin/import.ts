/** `run-pipeline import`: PyTorch's weights in. */

import { loadDefinition } from '../pipeline/definition.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { importCheckpoint } from '../interop/import-checkpoint.ts'
import type { KnownNetwork } from '../interop/checkpoint-network.ts'
import type { SegresnetOptions } from '../model/segresnet.ts'
import { perform } from './command.ts'

export interface ImportFlags {
  readonly out?: string
  readonly definition?: string
  readonly force?: boolean
  readonly json?: boolean
}

export function importCommand(path: string, { out, definition, force, json }: ImportFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const network = definition === undefined ? undefined : networkIn(definition)
    const imported = await importCheckpoint(path, {
      ...(out !== undefined && { out }),
      ...(network && { network }),
      ...(force && { force }),
    })
    const { lines, ...facts } = imported
    return { exitCode: 0, lines, facts: { ...facts, notes: lines } }
  })
}

/** The network of a definition. */
export function networkIn(definition: string): KnownNetwork {
  const { network } = loadDefinition(definition)
  if (!network)
    throw new PipelineError('ERR_DEFINITION', `${definition}: expected a definition with a "network", found none`)
  const { weights: _, ...options } = network
  return { network: options as unknown as SegresnetOptions, from: definition }
}
