/** What PyTorch, safetensors and onnx say of files that we wrote. */

import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { exportCheckpoint } from '../../interop/export-checkpoint.ts'
import { importCheckpoint } from '../../interop/import-checkpoint.ts'
import type { Check, Finding, References } from '../../test/support/parity/index.ts'
import { checkpointOf } from '../../test/support/parity/exports.ts'

/** What the Python program prints: differences by name. */
type Report = Readonly<Record<string, { readonly difference: number; readonly count: string }>>

const quantities: Readonly<Record<string, string>> = {
  'torch.load(weights_only=True)': 'tensors of our .pt that differ from the checkpoint it came from',
  'torch.optim.Adam': 'of a parameter after one more step from our .pt, against the original checkpoint',
  'safetensors.torch.load_file': 'tensors of our .safetensors that differ',
  'onnx.checker': 'complaints about our ONNX file',
}

/** Imports each set's checkpoint, exports it in every format and lets `program` read the files. */
export async function exportFindings(
  program: string,
  script: string,
  folder: string,
  sets: readonly References[],
): Promise<{ checks: Check[]; found: Finding[] }> {
  const checks = Object.entries(quantities).map(([name, quantity]): Check => ({
    step: `weights out, ${name}`,
    quantity,
    unit: name === 'torch.optim.Adam' ? 'of the value' : 'of them',
    tolerance: 0,
    run: () => Promise.resolve(undefined),
  }))
  const found: Finding[] = []
  for (const references of sets) {
    const checkpoint = checkpointOf(references)
    if (checkpoint === undefined) continue
    const work = join(folder, references.name.replaceAll(/[/\\]/g, '-'))
    mkdirSync(work, { recursive: true })
    await importCheckpoint(checkpoint, { out: join(work, 'model.safetensors'), force: true })
    for (const name of ['model.pt', 'model.onnx'])
      await exportCheckpoint(join(work, 'model.safetensors'), join(work, name), { force: true })
    const text = execFileSync(program, ['-W', 'ignore', script, checkpoint, work], { encoding: 'utf8' })
    const report = JSON.parse(text) as Report
    Object.keys(quantities).forEach((name, i) => {
      const measured = report[name]
      if (measured) found.push({ ...measured, check: checks[i]!, references, within: measured.difference === 0 })
    })
  }
  return { checks, found }
}
