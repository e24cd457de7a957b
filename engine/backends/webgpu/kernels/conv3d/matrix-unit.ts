/**
 * The GPU's matrix units as WGSL sees them, by Dawn's experimental subgroup matrices: the threads of a subgroup together
 * multiply an M x K by a K x N matrix of float16 and add the result in float32.
 *
 * An emulated unit does the same in plain WGSL, slowly, so that all around it can be run where no GPU has one.
 */

import { each } from './access.ts'

export interface MatrixUnit {
  readonly m: number
  readonly n: number
  readonly k: number
  /** The most threads that a subgroup may have; where it has fewer, some subgroups of a workgroup are idle. */
  readonly subgroup: number
  /** In plain WGSL, with operands in workgroup memory as float16 or, where the adapter has no shader-f16, as float32. */
  readonly emulated?: 'f16' | 'f32'
}

/** As the adapter lists them. */
export interface MatrixConfig {
  readonly componentType: string
  readonly resultComponentType: string
  readonly M: number
  readonly N: number
  readonly K: number
}

const wanted = 16

/**
 * Of those that multiply float16 and add in float32 the one of 16 x 16 x 16, else the largest. `undefined` where there is
 * none, or none whose rows begin at whole 16 bytes, as loads need them, and hold whole pieces of what is staged.
 */
export function chooseMatrixUnit(configs: Iterable<MatrixConfig>, subgroup: number): MatrixUnit | undefined {
  const size = ({ m, n, k }: MatrixUnit): number => m * n * k
  const rank = (unit: MatrixUnit): number =>
    unit.m === wanted && unit.n === wanted && unit.k === wanted ? Infinity : size(unit)
  return [...configs]
    .filter(({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32')
    .map(({ M, N, K }) => ({ m: Number(M), n: Number(N), k: Number(K), subgroup }))
    .filter(({ m, n, k }) => [m, n, k].every(extent => [8, 16, 32].includes(extent)))
    .toSorted((a, b) => rank(b) - rank(a))[0]
}

export function emulatedUnit(m: number, n: number, k: number, emulated: 'f16' | 'f32', subgroup = 32): MatrixUnit {
  if ((m * n) % subgroup !== 0) throw new Error(`expected ${subgroup} threads that share ${m} x ${n} results`)
  return { m, n, k, subgroup, emulated }
}

/** Bytes of an operand's number in workgroup memory. */
export function operandBytes({ emulated }: MatrixUnit): number {
  return emulated === 'f32' ? 4 : 2
}

/** Numbers of one matrix of sums that each thread holds. */
export function sumsPerThread({ m, n, subgroup }: MatrixUnit): number {
  return Math.ceil((m * n) / subgroup)
}

/** Arrays of workgroup memory by name; the left one's numbers of a column, or of a row, lie next to each other. */
export interface MatrixArrays {
  readonly left: string
  readonly right: string
  readonly sums: string
  readonly leftMajor: 'row_major' | 'col_major'
}

/** WGSL around and for the multiplications; offsets are in numbers, and the same for all threads of a subgroup. */
export interface MatrixWgsl {
  readonly enable: readonly string[]
  /** Of operands in workgroup memory. */
  readonly kept: string
  /** Outside functions; has the type `Sums`. */
  readonly declarations: string
  /** Among the parameters of `main`, and the first lines in it; `subgroup` is the subgroup's number. */
  readonly parameter: string
  readonly begin: string
  rounded(value: string): string
  loadLeft(at: string, stride: number): string
  loadRight(at: string, stride: number): string
  /** `sums` is a variable of type `Sums`. */
  multiply(left: string, right: string, sums: string): string
  /** M rows of N numbers. */
  store(at: string, sums: string): string
}

export function matrixWgsl(unit: MatrixUnit, arrays: MatrixArrays): MatrixWgsl {
  return unit.emulated ? emulation(unit, unit.emulated, arrays) : builtins(unit, arrays)
}

function builtins({ m, n, k }: MatrixUnit, { left, right, sums, leftMajor }: MatrixArrays): MatrixWgsl {
  return {
    enable: ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'],
    kept: 'f16',
    declarations: `alias Sums = subgroup_matrix_result<f32, ${n}, ${m}>;`,
    parameter: ', @builtin(subgroup_id) subgroup: u32',
    begin: '',
    rounded: value => `f16(${value})`,
    loadLeft: (at, stride) =>
      `subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, ${leftMajor}>(&${left}, ${at}, ${stride}u)`,
    loadRight: (at, stride) =>
      `subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&${right}, ${at}, ${stride}u)`,
    multiply: (a, b, to) => `${to} = subgroupMatrixMultiplyAccumulate(${a}, ${b}, ${to});`,
    store: (at, from) => `subgroupMatrixStore<row_major>(&${sums}, ${at}, ${from}, ${n}u);`,
  }
}

function emulatedOperand(at: string, stride: number, least: number): string {
  if (stride < least) throw new Error(`expected a stride of at least ${least}, as Dawn does, found ${stride}`)
  return `vec2u(${at}, ${stride}u)`
}

/** An operand is where it lies: nothing writes there until it has been multiplied. Thread i holds sums i, i + threads... */
function emulation(unit: MatrixUnit, kept: 'f16' | 'f32', { left, right, sums, leftMajor }: MatrixArrays): MatrixWgsl {
  const { m, n, k, subgroup } = unit
  const perThread = sumsPerThread(unit)
  const shortest = leftMajor === 'row_major' ? k : m
  const at = leftMajor === 'row_major' ? 'left.x + row * left.y + k' : 'left.x + k * left.y + row'
  return {
    enable: kept === 'f16' ? ['f16'] : [],
    kept,
    // Not all drivers round to nearest in quantizeToF16, as conversions do.
    declarations: `alias Sums = array<f32, ${perThread}>;
fn toHalf(value: f32) -> f32 {
  if (abs(value) < 0x1p-14f) { return round(value * 0x1p24f) * 0x1p-24f; }
  let bits = bitcast<u32>(value);
  return bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
}
fn multiply(left: vec2u, right: vec2u, sums: ptr<function, Sums>, own: u32) {
  for (var i = 0u; i < ${perThread}u; i++) {
    let row = (own + i * ${subgroup}u) / ${n}u;
    let column = (own + i * ${subgroup}u) % ${n}u;
    var sum = 0f;
    for (var k = 0u; k < ${k}u; k++) { sum += f32(${left}[${at}]) * f32(${right}[right.x + k * right.y + column]); }
    (*sums)[i] += sum;
  }
}
fn store(at: u32, given: ptr<function, Sums>, own: u32) {
${each(perThread)
  .map(i => `  ${sums}[at + own + ${i * subgroup}u] = (*given)[${i}];`)
  .join('\n')}
}`,
    parameter: '',
    begin: `  let subgroup = lane / ${subgroup}u;
  let own = lane % ${subgroup}u;`,
    rounded: value => (kept === 'f16' ? `f16(${value})` : `toHalf(${value})`),
    loadLeft: (from, stride) => emulatedOperand(from, stride, shortest),
    loadRight: (from, stride) => emulatedOperand(from, stride, n),
    multiply: (a, b, to) => `multiply(${a}, ${b}, &${to}, own);`,
    store: (to, from) => `store(${to}, &${from}, own);`,
  }
}
