/** Work of seconds that lets signals and progress in between. */

import { setImmediate } from 'node:timers/promises'
import { PipelineError } from '../pipeline/errors.ts'
import type { Context } from '../pipeline/stage.ts'

const mostMs = 20

/** To be awaited often: yields now and then, and gives up with ERR_INTERRUPTED where the run is to end. */
export function pauseOf({ signal }: Pick<Context, 'signal'>): () => Promise<void> {
  let last = performance.now()
  return async () => {
    if (performance.now() - last > mostMs) {
      await setImmediate()
      last = performance.now()
    }
    if (signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
  }
}
