/** Compiled programs with what is bound to them: uniforms and bind groups that a network asks for at every step are found again. */

import { packUniforms, wgsl, type Program } from './program.ts'

interface Compiled {
  readonly program: Program
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
  /** By their words. */
  readonly uniforms: Map<string, GPUBuffer>
  /** By their buffers' numbers: memory is lent in the same order, so that a step finds those of the step before. */
  readonly groups: Map<string, GPUBindGroup>
}

/** What a dispatch sets. */
export interface Bound {
  readonly pipeline: GPUComputePipeline
  readonly group: GPUBindGroup
  /** Of the buffers that it sees. */
  readonly bytes: number
}

const mostUniforms = 4096
const mostGroups = 4096

export class Programs {
  readonly #compiled = new Map<string, Compiled>()
  readonly #numbers = new WeakMap<GPUBuffer, number>()
  #lastNumber = 0
  readonly #device: GPUDevice
  readonly #submit: () => void

  /** `submit` hands over the commands that are recorded, which may use what is to be freed. */
  constructor(device: GPUDevice, submit: () => void) {
    this.#device = device
    this.#submit = submit
  }

  /** `key` stands for everything that the program depends on; `bufferOf` gives a binding's buffer by its name. */
  bind(
    key: string,
    make: () => Program,
    bufferOf: (binding: string) => GPUBuffer,
    uniforms: Readonly<Record<string, number>>,
  ): Bound {
    let compiled = this.#compiled.get(key)
    if (!compiled) {
      compiled = this.#compile(make())
      this.#compiled.set(key, compiled)
    }
    const { program, pipeline } = compiled
    const buffers = program.bindings.map(({ name }) => bufferOf(name))
    if (program.uniforms) buffers.push(this.#uniform(compiled, uniforms))
    const bytes = buffers.reduce((sum, { size }) => sum + size, 0)
    return { pipeline, group: this.#group(compiled, buffers), bytes }
  }

  #compile(program: Program): Compiled {
    const { name, bindings, uniforms } = program
    const device = this.#device
    const entries: GPUBindGroupLayoutEntry[] = bindings.map(({ access }, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    }))
    if (uniforms)
      entries.push({ binding: entries.length, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' } })
    const layout = device.createBindGroupLayout({ label: name, entries })
    const pipeline = device.createComputePipeline({
      label: name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ label: name, code: wgsl(program) }), entryPoint: 'main' },
    })
    return { program, pipeline, layout, uniforms: new Map(), groups: new Map() }
  }

  #group({ layout, groups }: Compiled, buffers: readonly GPUBuffer[]): GPUBindGroup {
    const key = buffers.map(buffer => this.#numberOf(buffer)).join()
    let group = groups.get(key)
    if (!group) {
      if (groups.size >= mostGroups) groups.clear()
      const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }))
      group = this.#device.createBindGroup({ layout, entries })
      groups.set(key, group)
    }
    return group
  }

  #numberOf(buffer: GPUBuffer): number {
    let number = this.#numbers.get(buffer)
    if (number === undefined) this.#numbers.set(buffer, (number = ++this.#lastNumber))
    return number
  }

  #uniform({ program, uniforms }: Compiled, values: Readonly<Record<string, number>>): GPUBuffer {
    const words = packUniforms(program, values)
    const key = words.join()
    const known = uniforms.get(key)
    if (known) return known
    if (uniforms.size >= mostUniforms) {
      this.#submit()
      for (const buffer of uniforms.values()) buffer.destroy()
      uniforms.clear()
    }
    const buffer = this.#device.createBuffer({
      label: program.name,
      size: words.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
    this.#device.queue.writeBuffer(buffer, 0, words)
    uniforms.set(key, buffer)
    return buffer
  }
}
