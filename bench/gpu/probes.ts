/** A GPU's own limits through WGSL: multiply-adds on registers alone, and a copy. What kernels are shares of. */

import type { GpuBackend } from '../../engine/backends/webgpu/backend.ts'
import { spread, type Program } from '../../engine/backends/webgpu/program.ts'
import { secondsOf } from './device.ts'

const lanes = 256

interface Probe {
  /** A vector is 1, 2 or 4 numbers. */
  readonly width: 1 | 2 | 4
  /** Chains of multiply-adds that do not wait for each other. */
  readonly chains: number
}

/** The best one counts: compilers allocate registers, and hide latencies, as they see fit. */
const probes: readonly Probe[] = [
  { width: 4, chains: 4 },
  { width: 4, chains: 8 },
  { width: 2, chains: 8 },
  { width: 1, chains: 16 },
]
const unrolled = 4

function multiplyAdd({ width, chains }: Probe): Program {
  const type = width === 1 ? 'f32' : `vec${width}f`
  const names = Array.from({ length: chains }, (_, i) => `a${i}`)
  const lines = (line: (name: string, i: number) => string): string => names.map(line).join('\n')
  return {
    name: 'MultiplyAddProbe',
    bindings: [{ name: 'to', type: 'array<f32>', access: 'read_write' }],
    uniforms: { rounds: 'u32', factor: 'f32', term: 'f32' },
    // Nothing is known when it is compiled, and nothing can be left out: sums are looked at.
    code: `
@compute @workgroup_size(${lanes})
fn main(@builtin(local_invocation_index) lane: u32) {
  let factor = ${type}(u.factor);
  let term = ${type}(u.term);
${lines((name, i) => `  var ${name} = ${type}(f32(lane + ${i}u));`)}
  for (var round = 0u; round < u.rounds; round++) {
${Array.from({ length: unrolled }, () => lines(name => `    ${name} = fma(${name}, factor, term);`)).join('\n')}
  }
  let sum = ${names.join(' + ')};
  if (${width === 1 ? 'sum' : 'sum.x'} == -1.0) { to[0] = ${width === 1 ? 'sum' : Array.from('xyzw'.slice(0, width), axis => `sum.${axis}`).join(' + ')}; }
}`,
  }
}

const copy: Program = {
  name: 'CopyProbe',
  bindings: [
    { name: 'source', type: 'array<vec4f>', access: 'read' },
    { name: 'copied', type: 'array<vec4f>', access: 'read_write' },
  ],
  code: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${lanes}u + lane;
  if (i < arrayLength(&copied)) { copied[i] = source[i]; }
}`,
}

/** A call should take some milliseconds: on a GPU many rounds of a full machine, in software few of a small part of it. */
const callSeconds = 0.002
/** Fill every GPU several times over. */
const mostGroups = 4096

interface Size {
  readonly groups: number
  readonly rounds: number
}

/** The probe that was best on a device, and how much it does in a call: the first question takes longest. */
const best = new WeakMap<GPUDevice, { readonly probe: Probe; readonly size: Size }>()

/** TFLOP/s in float32: two operations for a multiply-add. */
export async function multiplyAddRate(gpu: GpuBackend, seconds: number): Promise<number> {
  const to = gpu.output([4])
  const rateOf = async (
    probe: Probe,
    { groups, rounds }: Size,
    seconds: number,
  ): Promise<{ rate: number; taken: number }> => {
    const { width, chains } = probe
    const run = (): void =>
      gpu.run(`MultiplyAddProbe/${width}/${chains}`, () => multiplyAdd(probe), {
        buffers: { to },
        // Numbers stay near 0.5.
        uniforms: { rounds, factor: 0.5, term: 0.25 },
        workgroups: [groups, 1, 1],
      })
    const taken = await secondsOf(run, () => gpu.finished(), seconds)
    return { rate: (2 * width * chains * unrolled * rounds * groups * lanes) / taken, taken }
  }
  try {
    const known = best.get(gpu.device)
    if (known) return (await rateOf(known.probe, known.size, seconds)).rate / 1e12
    let most = 0
    for (const probe of probes) {
      let size: Size = { groups: 16, rounds: 16 }
      while ((await rateOf(probe, size, 0)).taken < callSeconds && size.rounds < 2 ** 20)
        size = size.groups < mostGroups ? { ...size, groups: 4 * size.groups } : { ...size, rounds: 4 * size.rounds }
      const { rate } = await rateOf(probe, size, seconds)
      if (rate <= most) continue
      most = rate
      best.set(gpu.device, { probe, size })
    }
    return most / 1e12
  } finally {
    gpu.disposeData(to.dataId, true)
  }
}

/** GB/s, read and written, of arrays that no cache holds where the adapter lets a kernel see as much. */
export async function copyRate(gpu: GpuBackend, seconds: number): Promise<number> {
  const bytes = Math.min(2 ** 28, 2 ** Math.floor(Math.log2(gpu.device.limits.maxStorageBufferBindingSize)))
  const [source, copied] = [gpu.output([bytes / 4]), gpu.output([bytes / 4])]
  const work = (): void =>
    gpu.run('CopyProbe', () => copy, { buffers: { source, copied }, workgroups: spread(Math.ceil(bytes / 16 / lanes)) })
  try {
    return (2 * bytes) / (await secondsOf(work, () => gpu.finished(), seconds)) / 1e9
  } finally {
    for (const { dataId } of [source, copied]) gpu.disposeData(dataId, true)
  }
}
