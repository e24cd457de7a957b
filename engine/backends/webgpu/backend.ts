/**
 * The `webgpu` backend: TensorFlow.js' own on Dawn, with our memory and our kernels for what networks are made of. Whatever
 * the device refuses, and TensorFlow.js would only print, is an error of the next read.
 *
 * Import it only once `navigator.gpu` is there: TensorFlow.js looks when it is loaded.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { DataType, Tensor, TensorInfo } from '@tensorflow/tfjs'
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import { PipelineError } from '../../../pipeline/errors.ts'
import { countingDevice, GpuMemory } from './memory.ts'
import type { MatrixUnit } from './kernels/conv3d/matrix-unit.ts'
import type { GpuPrecision } from './kernels/kernel.ts'
import type { Program } from './program.ts'
import { Programs } from './programs.ts'

/** What of the base class is private to its types. Pinned with the package's version. */
interface Internals {
  bufferManager: unknown
  commandEncoder: GPUCommandEncoder | null
  computePassEncoder: GPUComputePassEncoder | null
  dispatchCountInPass: number
  tensorMap: { get(dataId: object): TensorData; has(dataId: object): boolean }
}

interface TensorData {
  values: ArrayLike<number> | null
  resource?: GPUBuffer
  readonly dtype: DataType
  readonly shape: number[]
}

/** Calls of one kernel. */
export interface Dispatch {
  /** Buffers by the names of the program's bindings. */
  readonly buffers: Readonly<Record<string, TensorInfo>>
  readonly uniforms?: Readonly<Record<string, number>>
  readonly workgroups: readonly [number, number, number]
}

/** Commands are handed to the GPU in portions: small enough that it starts early, large enough to cost little. */
const dispatchesPerSubmit = 32

/**
 * Of the buffers that recorded commands see. Drivers take a GPU that is silent for two seconds for dead: on a small one this is
 * some tenths of a second.
 */
const bytesPerSubmit = 1 << 28

const lossToldMs = 1000

const storage = 0x80 | 0x4 | 0x8 // STORAGE, COPY_SRC, COPY_DST, as TensorFlow.js makes them
const staging = 0x2 | 0x4 // MAP_WRITE, COPY_SRC

export interface GpuBackendOptions {
  /** Bytes of GPU memory at most. */
  readonly limit?: number | undefined
  /** Of the products of convolutions. */
  readonly precision?: GpuPrecision
  /** What multiplies them in "float16-matrix". */
  readonly matrixUnit?: MatrixUnit | undefined
}

export class GpuBackend extends WebGPUBackend {
  readonly precision: GpuPrecision
  /** There with "float16-matrix". */
  readonly matrixUnit: MatrixUnit | undefined
  /** Uses of TensorFlow.js' own kernels, by name. */
  readonly fallbacks = new Map<string, number>()
  readonly #programs: Programs
  #made: object[] | undefined
  #recordedBytes = 0
  #memory: GpuMemory
  /** Tensors of a rehearsal, with the memory that they would have. */
  #rehearsed: Map<object, GPUBuffer | undefined> | undefined
  #failure: PipelineError | undefined
  #lost: PipelineError | undefined
  #isClosing = false

  constructor(device: GPUDevice, { limit = Infinity, precision = 'float32', matrixUnit }: GpuBackendOptions = {}) {
    super(device, device.adapterInfo)
    this.precision = precision
    this.matrixUnit = matrixUnit
    this.#programs = new Programs(device, () => this.#submit())
    this.#memory = new GpuMemory(device, limit, () => this.#submit())
    this.#internals.bufferManager = this.#memory
    device.addEventListener('uncapturederror', event => {
      event.preventDefault()
      const { message } = event.error
      this.#failure ??= new PipelineError('ERR_ENGINE', `the GPU refused a command: ${message}`, { message })
    })
    void device.lost.then(({ reason, message }) => {
      if (this.#isClosing) return
      this.#lost = new PipelineError(
        'ERR_ENGINE',
        `the GPU was lost (${message || reason}): its driver was reset or updated, or another process crashed it; the weights on it are gone`,
        { reason, message },
      )
    })
  }

  /** Gives the device back. */
  close(): void {
    this.#isClosing = true
    this.device.destroy()
  }

  get #internals(): Internals {
    return this as unknown as Internals
  }

  get gpuMemory(): GpuMemory {
    return this.#memory
  }

  /** A tensor on the GPU, not cleared. */
  output(shape: readonly number[], dtype: 'float32' | 'int32' = 'float32'): TensorInfo {
    const info = this.makeTensorInfo([...shape], dtype)
    this.#made?.push(info.dataId)
    this.uploadToGPU(info.dataId)
    return info
  }

  /** Runs a kernel's work; where it fails, the outputs that it had made are freed. */
  undoing<T>(work: () => T): T {
    const outer = this.#made
    const made: object[] = []
    this.#made = made
    try {
      return work()
    } catch (error) {
      for (const dataId of made) this.disposeData(dataId, true)
      throw error
    } finally {
      this.#made = outer
    }
  }

  /** An output on an input's memory, for an input that its owner gives up; on memory of its own where others hold it too. */
  overwriting(input: TensorInfo): TensorInfo {
    if (this.refCount(input.dataId) !== 1) return this.output(input.shape)
    this.incRef(input.dataId)
    return { dataId: input.dataId, shape: input.shape, dtype: input.dtype }
  }

  /** Records one call of a kernel. `key` stands for everything that `program` depends on. */
  run(key: string, program: () => Program, { buffers, uniforms, workgroups }: Dispatch): void {
    if (this.#rehearsed) {
      for (const { dataId } of Object.values(buffers)) this.uploadToGPU(dataId)
      return
    }
    const bufferOf = (binding: string): GPUBuffer => {
      const tensor = buffers[binding]
      if (!tensor) throw new Error(`${key}: no tensor for ${binding}`)
      return this.#bufferOf(tensor)
    }
    const { pipeline, group, bytes } = this.#programs.bind(key, program, bufferOf, uniforms ?? {})
    const own = this.#internals
    this.ensureCommandEncoderReady()
    own.computePassEncoder ??= own.commandEncoder!.beginComputePass()
    own.computePassEncoder.setPipeline(pipeline)
    own.computePassEncoder.setBindGroup(0, group)
    own.computePassEncoder.dispatchWorkgroups(...workgroups)
    this.#recordedBytes += bytes
    if (++own.dispatchCountInPass >= dispatchesPerSubmit || this.#recordedBytes >= bytesPerSubmit) this.#submit()
  }

  /** The values of a tensor, in `to` where given; rejects with what the device refused since the last read. */
  async readInto(tensor: Tensor, to?: Float32Array): Promise<Float32Array> {
    this.#expectDevice()
    const data = this.#internals.tensorMap.get(tensor.dataId)
    if (data.values) {
      to?.set(data.values)
      return to ?? Float32Array.from(data.values)
    }
    const source = data.resource!
    const staging = this.device.createBuffer({
      size: source.size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    })
    this.ensureCommandEncoderReady()
    this.endComputePassEncoder()
    this.#internals.commandEncoder!.copyBufferToBuffer(source, 0, staging, 0, source.size)
    this.#submit()
    try {
      await staging.mapAsync(GPUMapMode.READ).catch(async (error: unknown) => {
        // The device's end is told after that of the calls to it.
        if ((error as Error).name === 'AbortError') await Promise.race([this.device.lost, delay(lossToldMs)])
        // What the device said before is why.
        this.#failure ??= new PipelineError(
          'ERR_ENGINE',
          `the GPU gave no result: ${String(error)}`,
          {},
          { cause: error },
        )
      })
      await this.#settle()
      const mapped = new Float32Array(staging.getMappedRange())
      to?.set(mapped)
      return to ?? mapped.slice()
    } finally {
      staging.destroy()
    }
  }

  override async read(dataId: object): Promise<Float32Array> {
    const { values, dtype, shape } = this.#internals.tensorMap.get(dataId)
    if (values) return values as Float32Array
    const found = await this.readInto({ dataId, shape, dtype } as Tensor)
    return (dtype === 'float32' ? found : new Int32Array(found.buffer)) as Float32Array
  }

  /** TensorFlow.js reads through a canvas, which Node has not. */
  override readSync(dataId: object): Float32Array {
    const { values } = this.#internals.tensorMap.get(dataId)
    if (!values) throw new Error('a tensor on the GPU can only be read asynchronously: await data(), not dataSync()')
    return values as Float32Array
  }

  /** Resolves once the GPU has done everything; rejects with what it refused. */
  async finished(): Promise<void> {
    this.#submit()
    await this.device.queue.onSubmittedWorkDone()
    await this.#settle()
  }

  /** Notes a use of one of TensorFlow.js' own kernels that computes. */
  countFallback(kernelName: string): void {
    if (!this.#rehearsed) this.fallbacks.set(kernelName, (this.fallbacks.get(kernelName) ?? 0) + 1)
  }

  /** The programs of TensorFlow.js' own kernels come by here. */
  override runWebGPUProgram(
    ...args: Parameters<WebGPUBackend['runWebGPUProgram']>
  ): ReturnType<WebGPUBackend['runWebGPUProgram']> {
    const [program, inputs, dtype, , output] = args
    if (!this.#rehearsed) return super.runWebGPUProgram(...args)
    for (const { dataId } of inputs) this.uploadToGPU(dataId)
    if (output) return output
    return this.output(program.outputShape, dtype as 'float32')
  }

  override write(...args: Parameters<WebGPUBackend['write']>): object {
    if (!this.#rehearsed) this.#expectDevice()
    const dataId = super.write(...args)
    this.#rehearsed?.set(dataId, undefined)
    return dataId
  }

  override uploadToGPU(dataId: object): void {
    const rehearsed = this.#rehearsed
    if (!rehearsed) {
      this.#expectDevice()
      return super.uploadToGPU(dataId)
    }
    // What was there before stays as it is.
    if (!rehearsed.has(dataId) || rehearsed.get(dataId)) return
    const { shape, values } = this.#internals.tensorMap.get(dataId)
    const size = 4 * shape.reduce((product, n) => product * n, 1)
    rehearsed.set(dataId, this.#memory.acquireBuffer(size, storage))
    // What is uploaded comes through a buffer that the process sees.
    if (values) this.#memory.releaseBuffer(this.#memory.acquireBuffer(size, staging, true, false), false)
  }

  override disposeData(dataId: object, force = false): boolean {
    const isLast = force || this.refCount(dataId) === 1
    const counted = isLast ? this.#rehearsed?.get(dataId) : undefined
    if (counted) {
      this.#memory.releaseBuffer(counted)
      this.#rehearsed!.delete(dataId)
    }
    return super.disposeData(dataId, force)
  }

  /** Runs `work` with kernels that compute nothing on memory that is only counted, beside what is in use; the most bytes that it took. */
  rehearse(work: (peakBytes: () => number) => void): number {
    const memory = this.#memory
    const counted = new GpuMemory(countingDevice(this.device), Infinity, () => {})
    const held = memory.numBytesUsed
    counted.hold(held)
    const peak = (): number => Math.max(0, counted.peakAllocated - held)
    const use = (own: GpuMemory): void => {
      this.#memory = own
      this.#internals.bufferManager = own
    }
    this.#rehearsed = new Map()
    use(counted)
    try {
      work(peak)
      return peak()
    } finally {
      this.#rehearsed = undefined
      use(memory)
    }
  }

  /** A device that is gone takes everything and gives nothing. */
  #expectDevice(): void {
    if (this.#lost) throw this.#lost
  }

  /** Rejects with what went wrong since the last time, the first cause of it. */
  async #settle(): Promise<void> {
    const exhausted = await this.#memory.settled().then(
      () => undefined,
      (error: unknown) => error,
    )
    this.#expectDevice()
    const failure = exhausted ?? this.#failure
    this.#failure = undefined
    if (failure) throw failure
  }

  #submit(): void {
    this.#recordedBytes = 0
    if (!this.#internals.commandEncoder) return
    this.endComputePassEncoder()
    this.submitQueue()
  }

  #bufferOf({ dataId }: TensorInfo): GPUBuffer {
    this.uploadToGPU(dataId)
    return this.#internals.tensorMap.get(dataId).resource!
  }
}
