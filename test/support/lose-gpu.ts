/**
 * Loaded before the program (`node --import`): the GPU's device is lost as soon as the file that LOSE_GPU_AFTER names is
 * there, at the next work that is handed to it.
 */

import { existsSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const after = process.env['LOSE_GPU_AFTER']

if (!isMainThread && after !== undefined) {
  const { globals } = await import('webgpu')
  const { GPUAdapter } = globals as unknown as { GPUAdapter: { prototype: GPUAdapter } }
  const { requestDevice } = GPUAdapter.prototype
  GPUAdapter.prototype.requestDevice = async function (this: GPUAdapter, ...args) {
    const device = await requestDevice.apply(this, args)
    const { queue } = device
    const submit = queue.submit.bind(queue)
    queue.submit = commands => {
      if (existsSync(after)) device.destroy()
      return submit(commands)
    }
    return device
  }
}
