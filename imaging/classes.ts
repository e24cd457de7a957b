/** Labels hold class indices, or they are refused. */

import { PipelineError } from '../pipeline/errors.ts'

/** ERR_LABEL where a value is not a class index from 0 to `classes` - 1: NaN, fractions and strays included. */
export function expectClasses(labels: Float32Array | Uint8Array, classes: number, what = 'the label'): void {
  for (let i = 0; i < labels.length; i++) {
    const value = labels[i]!
    // The comparison is false for NaN.
    if (value >= 0 && value < classes && Math.floor(value) === value) continue
    throw new PipelineError(
      'ERR_LABEL',
      `${what} holds the value ${value}; expected class indices 0 to ${classes - 1}; say with "map-label" what other values mean, or raise "classes"`,
      { value, classes },
    )
  }
}
