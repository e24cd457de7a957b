/**
 * GPUs that Dawn can drive here, and which of them to take. Dawn (`webgpu` on npm) needs a driver and, on Linux, the Vulkan
 * loader; it is an optional dependency, so it may be missing.
 */

import { createRequire } from 'node:module'
import { PipelineError, messageOf } from '../../../pipeline/errors.ts'
import { chooseMatrixUnit, type MatrixConfig, type MatrixUnit } from './kernels/conv3d/matrix-unit.ts'
import type { GpuPrecision } from './kernels/kernel.ts'
import { featuresOf, lacksFor, nextBest } from './precisions.ts'

/** One GPU, or a processor that plays one. */
export interface Adapter {
  /** As the driver names it; what `"adapter"` in a definition is compared with. */
  readonly name: string
  /** How many have this name: only the first of them can be taken. Absent for one. */
  readonly count?: number
  /** The driver's own words: name and version. */
  readonly driver: string
  /** Computes on the processor: right, and far slower than the native backend. */
  readonly software: boolean
  /** WGSL features that matter here. */
  readonly features: readonly string[]
  /** Of its units that multiply matrices of float16 the one that would be taken; absent where there is none. */
  readonly matrixUnit?: MatrixUnit
  /** The largest tensor that a kernel can see, in bytes. */
  readonly largestBinding: number
}

/** What is known of the adapters here. */
export interface Survey {
  /** Best first. */
  readonly adapters: readonly Adapter[]
  /** Why there are none, in a few words, where it is known. */
  readonly trouble?: string
}

/** What was asked for of the adapter, beyond what all have. */
export interface DeviceNeeds {
  /** Part of an adapter's name; the first hardware adapter where it is absent. */
  readonly adapter?: string | undefined
  readonly precision?: GpuPrecision
}

export interface OpenedDevice {
  readonly device: GPUDevice
  readonly adapter: Adapter
}

type Dawn = typeof import('webgpu')

/** Apis that are real: Dawn's null backend computes nothing, its OpenGL ones lack what kernels need. */
const apis: ReadonlySet<string> = new Set(['vulkan', 'metal', 'd3d12', 'd3d11'])

/** Shown in `features`; a device is asked for those that its precision needs. */
const usefulFeatures = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix'] as const

/** Limits that kernels are planned by: as much as the adapter has. */
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const

/**
 * Subgroup matrices are behind the first. By the second, workgroup memory is not cleared before a kernel: ours, and
 * TensorFlow.js', write what they read, and the code that clears it takes SwiftShader seconds to compile.
 */
const dawnToggles = 'enable-dawn-features=allow_unsafe_apis,disable_workgroup_init'

/** What Dawn adds to WebGPU's own. */
type MatrixInfo = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> }

/** Dawn's instances must outlive their devices; nothing else holds them. */
const held: unknown[] = []

/** All adapters, best first; empty without a driver. ERR_ENGINE where Dawn itself is missing or cannot be loaded. */
export async function listAdapters(): Promise<readonly Adapter[]> {
  const dawn = await loadDawn()
  const names = await adapterNames(dawn)
  const found = await Promise.all(
    [...new Set(names)].map(async name => {
      const adapter = (await request(dawn, name))?.adapter
      const count = names.filter(other => other === name).length
      return adapter && count > 1 ? { ...adapter, count } : adapter
    }),
  )
  return found.filter(adapter => adapter !== undefined).toSorted((a, b) => rank(a) - rank(b))
}

/**
 * The device of the adapter asked for, else of the best that is no software, among those that there are, best first. ERR_ENGINE,
 * with what there is and what to do, where there is none or it lacks a feature that is needed; `trouble` says why none is there.
 */
export async function openDevice(
  { adapter: wanted, precision = 'float32' }: DeviceNeeds,
  { adapters, trouble }: Survey,
): Promise<OpenedDevice> {
  const names = adapters.map(({ name, software }) => `"${name}"${software ? ' (software)' : ''}`).join(', ')
  const chosen =
    wanted === undefined
      ? adapters.find(({ software }) => !software)
      : (adapters.find(({ name }) => name.toLowerCase() === wanted.toLowerCase()) ??
        adapters.find(({ name }) => name.toLowerCase().includes(wanted.toLowerCase())))
  if (!chosen) {
    const cure =
      adapters.length === 0
        ? noAdapterCure
        : wanted === undefined
          ? `only software adapters are there: ${names}; name one with "adapter" to test with it, or use "native", which is faster`
          : `choose one of ${names}`
    const none = `no GPU was found${trouble === undefined ? '' : `: ${trouble}`}`
    const asked = wanted === undefined || adapters.length === 0 ? none : `no adapter has "${wanted}" in its name`
    throw new PipelineError(
      'ERR_ENGINE',
      `/engine/${wanted === undefined ? 'backend' : 'adapter'}: ${asked}; ${cure}`,
      {
        adapters: adapters.map(({ name }) => name),
      },
    )
  }
  const missing = lacksFor(precision, chosen)
  if (missing.length > 0)
    throw new PipelineError(
      'ERR_ENGINE',
      `/engine/precision: the adapter "${chosen.name}" has no ${missing.join(' and no ')}, which this precision needs; use "${nextBest(precision, [chosen])}"`,
      { adapter: chosen.name, missing },
    )
  const { gpu } = (await request(await loadDawn(), chosen.name)) ?? {}
  if (!gpu) throw new PipelineError('ERR_ENGINE', `/engine/backend: "${chosen.name}" does not open; ${noAdapterCure}`)
  const device = await gpu.requestDevice({
    label: 'ctflow',
    requiredFeatures: featuresOf[precision] as GPUFeatureName[],
    requiredLimits: Object.fromEntries(limits.map(limit => [limit, gpu.limits[limit]])),
  })
  return { device, adapter: chosen }
}

/** WebGPU does not say which GPU has memory of its own; among Intel's, AMD's and others, NVIDIA's have. */
function rank({ name, software }: Adapter): number {
  return software ? 2 : /nvidia|geforce|quadro|tesla|\brtx\b|radeon (?:pro|rx)|instinct|apple/i.test(name) ? 0 : 1
}

/** Why `requestAdapter` finds nothing on a machine that has a GPU, most often. */
const noAdapterCure =
  'install the GPU\'s driver and, on Linux, the Vulkan loader (libvulkan1); in an NVIDIA container set NVIDIA_DRIVER_CAPABILITIES to "all" or add "graphics" to it; or use "native"'

/** What Dawn lacks here, in a few words; undefined where it may be loaded. */
export function lacksForDawn(): string | undefined {
  try {
    createRequire(import.meta.url).resolve('webgpu')
  } catch {
    return 'the package "webgpu" is not installed'
  }
  // Without the Vulkan loader Dawn would find no adapter, and print a warning of its own in every run.
  return process.platform === 'linux' && !hasVulkanLoader() ? 'libvulkan.so.1 is not there' : undefined
}

/** ERR_ENGINE with the cure where it cannot be loaded. */
async function loadDawn(): Promise<Dawn> {
  const lack = lacksForDawn()
  if (lack?.startsWith('libvulkan'))
    throw new PipelineError('ERR_ENGINE', `/engine/backend: no GPU was found: ${lack}; ${noAdapterCure}`, {
      adapters: [],
    })
  try {
    const dawn = await import('webgpu')
    Object.assign(globalThis, dawn.globals)
    return dawn
  } catch (cause) {
    throw new PipelineError(
      'ERR_ENGINE',
      `/engine/backend: WebGPU cannot be loaded: ${lack ?? messageOf(cause)}; install it with "npm install webgpu" (it comes with ctflow unless optional dependencies are left out), or use "native"`,
      {},
      { cause },
    )
  }
}

function hasVulkanLoader(): boolean {
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1')
  } catch (error) {
    // A library that loads is no module of Node's, and that is all that is wrong with it.
    return /self-register/.test(messageOf(error))
  }
  return true
}

/** Dawn lists its adapters only in the error about one that does not exist. Equal ones are there as often as there are. */
async function adapterNames(dawn: Dawn): Promise<string[]> {
  const text = await dawn
    .create(['adapter=\u0001'])
    .requestAdapter()
    .then(() => '', messageOf)
  const pairs = [...text.matchAll(/backend: '([^']*)', name: '([^']*)'/g)]
  return pairs.filter(([, api]) => apis.has(api!)).map(([, , name]) => name!)
}

async function request(dawn: Dawn, name: string): Promise<{ gpu: GPUAdapter; adapter: Adapter } | undefined> {
  const instance = dawn.create([`adapter=${name}`, dawnToggles])
  const gpu = await instance.requestAdapter({ powerPreference: 'high-performance' })
  if (!gpu) return undefined
  held.push(instance)
  const { info, features } = gpu
  const { subgroupMatrixConfigs = [], subgroupMaxSize = 128 } = info as MatrixInfo
  const matrixUnit = chooseMatrixUnit(subgroupMatrixConfigs, subgroupMaxSize)
  return {
    gpu,
    adapter: {
      name,
      driver: info.description || `${info.vendor} ${info.architecture}`.trim(),
      software: info.isFallbackAdapter || softwareNames.test(`${name} ${info.architecture} ${info.description}`),
      features: usefulFeatures.filter(feature => features.has(feature)),
      ...(matrixUnit && { matrixUnit }),
      largestBinding: gpu.limits.maxStorageBufferBindingSize,
    },
  }
}

/** Adapters that compute on the processor. Dawn marks those that it knows. */
const softwareNames = /swiftshader|llvmpipe|lavapipe|basic render|\bwarp\b|software/i
