/** Compute kernels as data: WGSL, what it binds and how it is called. */

/** How a kernel sees one buffer. */
export interface Binding {
  readonly name: string
  /** In WGSL, such as `array<vec4f>`. */
  readonly type: string
  readonly access: 'read' | 'read_write'
}

type Scalar = 'u32' | 'i32' | 'f32'

export interface Program {
  /** For messages and profiles. */
  readonly name: string
  /** In the order of their bindings. */
  readonly bindings: readonly Binding[]
  /** Fields of the uniform `u`, in order. Sizes that change what is compiled belong into the code instead. */
  readonly uniforms?: Readonly<Record<string, Scalar>>
  /** WGSL extensions: `f16`, `subgroups`. */
  readonly enable?: readonly string[]
  /** Everything after the bindings, with the entry point `main`. */
  readonly code: string
}

/** The whole module: extensions, bindings by name, the uniform `u`, the program's code. */
export function wgsl({ name, bindings, uniforms = {}, enable = [], code }: Program): string {
  const fields = Object.entries(uniforms).map(([field, type]) => `  ${field}: ${type},`)
  return [
    `// ${name}`,
    ...enable.map(extension => `enable ${extension};`),
    ...bindings.map(
      ({ name: buffer, type, access }, i) => `@group(0) @binding(${i}) var<storage, ${access}> ${buffer}: ${type};`,
    ),
    ...(fields.length > 0
      ? ['struct Uniforms {', ...fields, '}', `@group(0) @binding(${bindings.length}) var<uniform> u: Uniforms;`]
      : []),
    code,
  ].join('\n')
}

/** The uniform's bytes, as its fields are declared. ERR for a value that is missing or that its type cannot hold. */
export function packUniforms(
  { name, uniforms = {} }: Pick<Program, 'name' | 'uniforms'>,
  values: Readonly<Record<string, number>>,
): Uint32Array<ArrayBuffer> {
  const fields = Object.entries(uniforms)
  // WebGPU binds uniforms in multiples of 16 bytes.
  const words = new Uint32Array(Math.ceil(fields.length / 4) * 4)
  const floats = new Float32Array(words.buffer)
  fields.forEach(([field, type], i) => {
    const value = values[field]
    if (value === undefined) throw new Error(`${name}: no value for the uniform ${field}`)
    if (type === 'f32') floats[i] = value
    else if (Number.isInteger(value) && value < 2 ** 32 && value >= (type === 'u32' ? 0 : -(2 ** 31))) words[i] = value
    else throw new Error(`${name}: the uniform ${field} is no ${type}: ${value}`)
  })
  return words
}

/**
 * Workgroups in x and y for a count that one dimension may not hold; in WGSL `group.x + group.y * groups.x` (workgroup_id
 * and num_workgroups) numbers them, and some numbers at the end are too large.
 */
export function spread(count: number, mostPerDimension = 65_535): [number, number, number] {
  const y = Math.ceil(count / mostPerDimension)
  return [Math.ceil(count / y), y, 1]
}
