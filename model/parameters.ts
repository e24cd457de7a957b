/** What a network's parameters are: names, shapes and kinds, without the tensors. */

export interface ParameterSpec {
  /** The name in PyTorch's state_dict. */
  readonly name: string
  /** PyTorch's shape: (co, ci, kx, ky, kz) for filters, (C) otherwise. */
  readonly shape: readonly number[]
  /** A filter, the bias of a convolution, or a norm's scale (gamma) or shift (beta). */
  readonly kind: 'filter' | 'bias' | 'scale' | 'shift'
  /** Inputs of one output, which set the width of the initial values; 0 for norms. */
  readonly fanIn: number
}

/** What is known of tensors before their values are read. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>

/** Number of values of a shape; 1 for a scalar's empty shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}
