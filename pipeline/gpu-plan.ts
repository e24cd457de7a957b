/** The GPU's memory, told beforehand. It is counted apart from the run's: no volume and no cache lies there. */

import { formatBytes } from './bytes.ts'
import { codeOf, PipelineError } from './errors.ts'
import type { Engine, EngineWork } from './engine.ts'
import type { Shape3 } from './grid.ts'

export interface GpuPlan {
  readonly adapter: string
  /** null where the definition sets none: WebGPU does not tell what a GPU has. */
  readonly limitBytes: number | null
  readonly largestTensorBytes: number
  /** What takes it; a step and windows come in turns, so the peak is less than their sum. */
  readonly parts: readonly { readonly what: string; readonly bytes: number }[]
  /** The least that the work takes, a batch's samples one by one. */
  readonly peakBytes: number
  /** With a batch's samples at once, as it is done where that fits; null where no adapter's tensors could. */
  readonly togetherBytes: number | null
}

/** Undefined where no GPU computes. ERR_DEFINITION where the work asks for a tensor that the adapter cannot have. */
export async function planGpu(engine: Engine, work: EngineWork): Promise<GpuPlan | undefined> {
  const { gpu, device } = engine.info
  if (!gpu) return undefined
  const bytesOf = async (part: EngineWork): Promise<number> => (await engine.need(part)).deviceBytes
  const peakBytes = await bytesOf(work)
  const held = await bytesOf({ windows: [] })
  const { step, windows } = work
  const parts = [{ what: step ? "parameters and the optimiser's state" : 'parameters', bytes: held }]
  if (step)
    parts.push({ what: `a step on ${extents(step.patch)}`, bytes: (await bytesOf({ step, windows: [] })) - held })
  if (windows.length > 0)
    parts.push({
      what: `a window of ${extents(windows.toSorted((a, b) => voxels(b) - voxels(a))[0]!)}`,
      bytes: (await bytesOf({ windows })) - held,
    })
  return {
    adapter: device,
    limitBytes: gpu.memoryBytes ?? null,
    largestTensorBytes: gpu.largestTensorBytes,
    parts,
    peakBytes,
    togetherBytes: step && step.batch > 1 ? await together(bytesOf, work) : peakBytes,
  }
}

async function together(bytesOf: (work: EngineWork) => Promise<number>, work: EngineWork): Promise<number | null> {
  try {
    return await bytesOf({ ...work, step: { ...work.step!, together: true } })
  } catch (error) {
    if (codeOf(error) === 'ERR_DEFINITION') return null
    throw error
  }
}

/** "2.44 MiB, 16.4 MiB with a batch's samples at once". */
export function wantedText({ peakBytes, togetherBytes }: Pick<GpuPlan, 'peakBytes' | 'togetherBytes'>): string {
  const all = togetherBytes === null || togetherBytes === peakBytes
  return formatBytes(peakBytes) + (all ? '' : `, ${formatBytes(togetherBytes)} with a batch's samples at once`)
}

/** ERR_DEFINITION, with the plan, where the definition's limit does not hold it. */
export function checkGpuPlan({ limitBytes, parts, peakBytes }: GpuPlan): void {
  if (limitBytes === null || peakBytes <= limitBytes) return
  const taken = parts.map(({ what, bytes }) => `${formatBytes(bytes)} for ${what}`).join(', ')
  throw new PipelineError(
    'ERR_DEFINITION',
    `/engine/gpuMemory: expected at least ${formatBytes(peakBytes)} (${peakBytes} bytes), found ${formatBytes(limitBytes)}: ${taken}; raise it, take smaller patches and windows or fewer "initFilters", or use "backend": "native"`,
    { needed: peakBytes, limit: limitBytes, parts },
  )
}

function extents(shape: Shape3): string {
  return shape.join(' x ')
}

function voxels([x, y, z]: Shape3): number {
  return x * y * z
}
