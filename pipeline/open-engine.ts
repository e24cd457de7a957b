/** The engine of a run, looked at before anything is asked of it. */

import { openEngineFor } from '../stages/index.ts'
import type { Definition } from './definition.ts'
import { formatBytes } from './bytes.ts'
import { codeOf, messageOf, PipelineError } from './errors.ts'
import { checkGpuPlan, planGpu, type GpuPlan } from './gpu-plan.ts'
import { engineWorkOf } from './plan.ts'

export interface OpenedEngine {
  readonly engine: Awaited<ReturnType<typeof openEngineFor>>
  /** Only where a GPU computes. */
  readonly gpuPlan?: GpuPlan
}

/**
 * Opens the engine that the definition asks for. ERR_DEFINITION, with the plan, where its GPU does not hold the work; where
 * `auto` chose that GPU and native does as well, native is opened instead. The caller closes it.
 */
export async function openFittingEngine(definition: Definition, open = openEngineFor): Promise<OpenedEngine> {
  const engine = await open(definition)
  const { backend, precision, adapter } = definition.engine
  const isFree = backend === 'auto' && precision === 'float32' && adapter === undefined && engine.info.gpu
  try {
    const gpuPlan = await planGpu(engine, engineWorkOf(definition))
    if (gpuPlan) checkGpuPlan(gpuPlan)
    if (gpuPlan && isFree && !(await engine.canHold(gpuPlan.peakBytes)))
      throw new PipelineError('ERR_DEFINITION', `it has no ${formatBytes(gpuPlan.peakBytes)} to give now`)
    return { engine, ...(gpuPlan && { gpuPlan }) }
  } catch (error) {
    await engine.close()
    if (!isFree || codeOf(error) !== 'ERR_DEFINITION') throw error
    const native = await open({ ...definition, engine: { ...definition.engine, backend: 'native' } })
    // What native is told to cure is done.
    const [why] = messageOf(error)
      .replace(/^\/\S+: /, '')
      .split('; ')
    const reason = `auto: "${engine.info.device}" does not hold it: ${why}`
    return { engine: { ...native, info: { ...native.info, reason } } }
  }
}
