/** `run-pipeline devices`: what networks can be computed on here. */

import { precisionsOf } from '../engine/backends/webgpu/precisions.ts'
import { findDevices, type Devices } from '../engine/devices.ts'
import { formatBytes } from '../pipeline/bytes.ts'
import { table, wrapped } from '../pipeline/text-lines.ts'
import { perform } from './command.ts'

export interface DevicesFlags {
  readonly json?: boolean
}

/** Exit code 0 also where there is no GPU. */
export function devicesCommand({ json }: DevicesFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const devices = await findDevices()
    return { exitCode: 0, lines: deviceLines(devices), facts: { ...devices } }
  })
}

export function deviceLines({ webgpu, native, tensorflow, auto }: Devices): string[] {
  return [
    ...adapterLines(webgpu),
    '',
    ...wrapped(`native: ${native.processor}, ${native.threads} threads, ${native.trouble ?? isaText(native)}`),
    ...wrapped(`tensorflow: ${tensorflowText(tensorflow)}`),
    '',
    ...wrapped(
      `"backend": "auto" takes ${auto.backend === 'webgpu' ? `"${auto.adapter}"` : 'native'} (${auto.reason})`,
    ),
  ]
}

function adapterLines({ adapters, trouble }: Devices['webgpu']): string[] {
  if (adapters.length === 0) return wrapped(`webgpu: no GPU: ${trouble ?? 'its driver is not there'}; see docs/gpu.md`)
  return [
    'webgpu:',
    ...adapters.flatMap(({ name, count = 1, driver, software, features, matrixUnit, largestBinding }) => [
      `  ${name}${count > 1 ? ` (${count} of this name; the first is taken)` : ''}`,
      ...table([
        ['   ', 'kind', software ? 'software, for tests only' : 'hardware'],
        ['   ', 'driver', driver],
        ['   ', 'features', features.join(', ') || 'none'],
        ['   ', 'precision', precisionsOf({ features, matrixUnit }).join(', ')],
        ['   ', 'largest tensor', formatBytes(largestBinding)],
      ]),
    ]),
  ]
}

function tensorflowText(tensorflow: Devices['tensorflow']): string {
  if (!tensorflow) return 'not installed'
  if ('trouble' in tensorflow) return `damaged: ${tensorflow.trouble}`
  return `${tensorflow.name} ${tensorflow.version} in ${tensorflow.folder}`
}

function isaText({ isa, bfloat16 }: Devices['native']): string {
  return `${isa}${bfloat16 ? ' with bfloat16' : ''}`
}
