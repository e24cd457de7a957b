/** Adam's update of one parameter, as PyTorch computes it: bias corrections in double, epsilon outside the root. */

import * as tf from '@tensorflow/tfjs'
import type { Tensor, Variable } from '@tensorflow/tfjs'
import type { AdamOptions } from '../../model/adam.ts'
import { hasKernel, runKernel } from './kernel.ts'

/** A parameter and its running moments, all of one shape; changed in place. */
export interface Adapted {
  readonly parameter: Variable
  readonly expAvg: Variable
  readonly expAvgSq: Variable
}

/** One update; `step` counts from 1. The gradient stays the caller's. */
export function adamUpdate(
  { parameter, expAvg, expAvgSq }: Adapted,
  gradient: Tensor,
  options: Omit<AdamOptions, 'kind'>,
  step: number,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = options
  if (hasKernel('AdamUpdate')) {
    const inputs = { param: parameter, m: expAvg, v: expAvgSq, gradient }
    tf.dispose(runKernel('AdamUpdate', inputs, { learningRate, beta1, beta2, epsilon, weightDecay, step }))
    return
  }
  tf.tidy(() => {
    const g = weightDecay === 0 ? gradient : gradient.add(parameter.mul(weightDecay))
    expAvg.assign(expAvg.mul(beta1).add(g.mul(1 - beta1)))
    expAvgSq.assign(expAvgSq.mul(beta2).add(g.square().mul(1 - beta2)))
    const stepSize = learningRate / (1 - beta1 ** step)
    const denominator = expAvgSq
      .sqrt()
      .div(Math.sqrt(1 - beta2 ** step))
      .add(epsilon)
    parameter.assign(parameter.sub(expAvg.div(denominator).mul(stepSize)))
  })
}
