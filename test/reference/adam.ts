/** One step of Adam as in torch/optim/adam.py (the single tensor path, without amsgrad), in float64. */

export interface AdamOptions {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** L2 penalty, added to the gradient. */
  readonly weightDecay: number
  /** Number of this step, from 1. */
  readonly step: number
}

/** The arrays after the step; those given stay as they are. */
export function adam(
  param: ArrayLike<number>,
  m: ArrayLike<number>,
  v: ArrayLike<number>,
  gradient: ArrayLike<number>,
  options: AdamOptions,
): { param: Float64Array; m: Float64Array; v: Float64Array } {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = options
  const after = { param: Float64Array.from(param), m: Float64Array.from(m), v: Float64Array.from(v) }
  for (let i = 0; i < param.length; i++) {
    const g = gradient[i]! + weightDecay * param[i]!
    after.m[i] = beta1 * m[i]! + (1 - beta1) * g
    after.v[i] = beta2 * v[i]! + (1 - beta2) * g * g
    const denominator = Math.sqrt(after.v[i]!) / Math.sqrt(1 - beta2 ** step) + epsilon
    after.param[i] = param[i]! - ((learningRate / (1 - beta1 ** step)) * after.m[i]!) / denominator
  }
  return after
}
