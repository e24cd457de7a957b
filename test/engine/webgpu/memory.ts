import t from 'tap'
import { countingDevice, GpuMemory, type BufferDevice } from '../../../engine/backends/webgpu/memory.ts'

const MiB = 2 ** 20
const usage = 0x80

/** Buffers that know whether they are gone; from `full` bytes on the device has no more, which it says later. */
function fakeDevice(full = Infinity): BufferDevice & { readonly live: Set<GPUBuffer> } {
  const live = new Set<GPUBuffer>()
  let refused = false
  return {
    live,
    limits: { maxBufferSize: 64 * MiB, maxStorageBufferBindingSize: 32 * MiB } as GPUSupportedLimits,
    createBuffer({ size, usage: asked }) {
      const buffer = { size, usage: asked, destroy: () => void live.delete(buffer) } as unknown as GPUBuffer
      const taken = [...live].reduce((sum, other) => sum + other.size, 0)
      refused = taken + size > full
      live.add(buffer)
      return buffer
    },
    pushErrorScope() {
      refused = false
    },
    popErrorScope() {
      const error = refused ? ({ message: 'no memory' } as GPUError) : null
      return Promise.resolve(error)
    },
  }
}

t.test('buffers are used again by size and usage', t => {
  const device = fakeDevice()
  const memory = new GpuMemory(device, Infinity, () => {})
  const first = memory.acquireBuffer(MiB, usage)
  memory.releaseBuffer(first)
  t.equal(memory.acquireBuffer(MiB, usage), first)
  t.not(memory.acquireBuffer(MiB, usage), first)
  t.not(memory.acquireBuffer(2 * MiB, usage), first)
  t.equal(memory.numBytesUsed, 4 * MiB)
  t.equal(memory.peakAllocated, 4 * MiB)
  t.end()
})

t.test('what waits is freed before the limit is passed, and what then does not fit is refused with the numbers', t => {
  const device = fakeDevice()
  let submitted = 0
  const memory = new GpuMemory(device, 10 * MiB, () => void submitted++)
  memory.releaseBuffer(memory.acquireBuffer(6 * MiB, usage))
  const second = memory.acquireBuffer(5 * MiB, usage)
  t.equal(device.live.size, 1, 'the first is gone')
  t.ok(submitted > 0, 'commands that may use it went first')
  t.throws(() => memory.acquireBuffer(6 * MiB, usage), {
    code: 'ERR_ENGINE',
    message: /no GPU memory for a tensor of 6\.00 MiB beside the 5\.00 MiB in use \("gpuMemory" allows 10\.0 MiB\)/,
    facts: { bytes: 6 * MiB, liveBytes: 5 * MiB },
  })
  memory.releaseBuffer(second)
  t.equal(memory.acquireBuffer(6 * MiB, usage).size, 6 * MiB, 'work can go on')
  t.end()
})

t.test('a tensor that no kernel can see as a whole is refused with the number', t => {
  for (const device of [fakeDevice(), countingDevice(fakeDevice())]) {
    const memory = new GpuMemory(device, Infinity, () => {})
    t.throws(() => memory.acquireBuffer(33 * MiB, usage), {
      code: 'ERR_ENGINE',
      message: /a tensor of 33\.0 MiB does not fit the adapter, whose kernels see at most 32\.0 MiB at once/,
    })
    t.equal(memory.numBytesUsed, 0)
  }
  t.end()
})

t.test('what the device has no memory for is told once, and nobody has that buffer again', async t => {
  const device = fakeDevice(8 * MiB)
  const memory = new GpuMemory(device, Infinity, () => {})
  const held = memory.acquireBuffer(6 * MiB, usage)
  const early = memory.acquireBuffer(4 * MiB, usage)
  memory.releaseBuffer(early) // before the device has answered
  const late = memory.acquireBuffer(5 * MiB, usage)
  await t.rejects(memory.settled(), {
    code: 'ERR_ENGINE',
    message: /no GPU memory for a tensor of 4\.00 MiB beside the 6\.00 MiB in use \(the GPU has no more\)/,
  })
  memory.releaseBuffer(late)
  memory.releaseBuffer(held)
  await memory.settled()
  t.same([...device.live], [held])
  t.equal(memory.numBytesUsed, 0)
  t.equal(memory.numBytesAllocated, 6 * MiB)
})
