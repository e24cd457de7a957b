/** `run-pipeline export`: weights out, for PyTorch, ONNX or anything that reads safetensors. */

import { exportCheckpoint } from '../interop/export-checkpoint.ts'
import { perform } from './command.ts'
import { networkIn } from './import.ts'

export interface ExportFlags {
  readonly definition?: string
  readonly bare?: boolean
  readonly force?: boolean
  readonly json?: boolean
}

export function exportCommand(path: string, out: string, flags: ExportFlags): Promise<number> {
  const { definition, bare, force, json } = flags
  return perform(json ?? false, async () => {
    const lines = await exportCheckpoint(path, out, {
      ...(definition !== undefined && { network: networkIn(definition) }),
      bare: bare ?? false,
      force: force ?? false,
    })
    return { exitCode: 0, lines, facts: { written: out, notes: lines } }
  })
}
