import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'

t.test('variants: scalar everywhere, the fastest is in use', { skip }, async t => {
  const addon = loadAddon()
  t.equal(addon.isas()[0], 'scalar')
  t.equal(addon.isa(), addon.isas().at(-1))
  t.throws(() => addon.setIsa('sse9' as never), { message: /no kernels for 'sse9'/ })
})

t.test('threads are counted from one', { skip }, async t => {
  const addon = loadAddon()
  const before = addon.threads()
  for (const wrong of [0, -1, 1.5, NaN, '2' as never]) t.throws(() => addon.setThreads(wrong))
  addon.setThreads(3)
  t.equal(addon.threads(), 3)
  addon.setThreads(before)
})

t.test('several threads use the addon at once, end, and leave it working', { skip }, async t => {
  const path = join(projectRoot, 'build', 'ctflow.node')
  const code = `
    const addon = require(${JSON.stringify(path)})
    const ones = new Float32Array(1 << 20).fill(1)
    const to = new Float32Array(8)
    for (let i = 0; i < 20; i++) addon.channelSum(1 << 17, 8, ones, to)
    require('node:worker_threads').parentPort.postMessage([...to])`
  const started = Array.from({ length: 4 }, () => new Worker(code, { eval: true }))
  const ended = started.map(worker => new Promise(resolve => worker.once('exit', resolve)))
  const sums = started.map(
    worker =>
      new Promise<number[]>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      }),
  )
  for (const sum of await Promise.all(sums)) t.same(sum, Array(8).fill(2 ** 17))
  t.same(await Promise.all(ended), [0, 0, 0, 0])
  const to = new Float32Array(8)
  loadAddon().channelSum(1000, 8, new Float32Array(8000).fill(1), to)
  t.same([...to], Array(8).fill(1000))
})

t.test('a process in which only a worker loaded the addon ends in peace', { skip }, async t => {
  const path = join(projectRoot, 'build', 'ctflow.node')
  const worker = `
    const addon = require(${JSON.stringify(path)})
    addon.setThreads(3)
    addon.channelSum(1 << 17, 8, new Float32Array(1 << 20), new Float32Array(8))`
  const main = `
    const { Worker } = require('node:worker_threads')
    const run = n => new Worker(${JSON.stringify(worker)}, { eval: true }).on('exit', () => n > 1 && run(n - 1))
    run(5)`
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', main], { encoding: 'utf8' })
  t.same({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
})

t.test('memory is aligned for vectors and can be given back', { skip }, async t => {
  const addon = loadAddon()
  const buffer = addon.allocate(1000)
  t.equal(buffer.byteLength, 1000)
  new Uint8Array(buffer).fill(7)
  addon.release(buffer)
  t.equal(buffer.byteLength, 0)
  t.throws(() => addon.allocate(0), { message: /no such size/ })
  t.throws(() => addon.allocate(2 ** 39), { message: /out of memory/ })
})

t.test('memory longer than arrays can be is refused, and freed once', { skip }, async t => {
  const addon = loadAddon()
  try {
    addon.release(addon.allocate(2 ** 33)) // nobody touches it
    t.comment('this runtime has such arrays')
  } catch (error) {
    t.match(error, { message: /no arrays of 8589934592 bytes|out of memory/ })
  }
  addon.release(addon.allocate(1 << 24))
})

t.test('a kernel that is rehearsed takes its memory and computes nothing', { skip }, async t => {
  const addon = loadAddon()
  const [depth, height, width, channels] = [4, 10, 12, 8]
  const x = new Float32Array(depth * height * width * channels).fill(1)
  const filter = new Float32Array(27 * channels * channels).fill(1)
  const [y, dfilter] = [x.slice().fill(7), filter.slice().fill(7)]
  const shape = [1, depth, height, width, channels, 3, 3, 3, depth, height, width, channels, 1, 1, 1, 1, 1, 1]
  const peakOf = (rehearsed: boolean): number => {
    addon.trimScratch()
    addon.rehearse(rehearsed)
    addon.conv3dForward(x, filter, y, shape)
    addon.conv3dFilterGradient(x, y, dfilter, shape)
    addon.rehearse(false)
    return addon.scratchPeak()
  }
  const told = peakOf(true)
  t.ok(told > 0)
  t.ok(y.every(value => value === 7) && dfilter.every(value => value === 7))
  t.equal(peakOf(false), told)
  t.ok(y.every(value => value > 7) && dfilter.every(value => value > 7), 'and then it computes')
})

t.test('no compiler: one message that names the package', async t => {
  const script = join(projectRoot, 'scripts', 'build-addon.mjs')
  const { CXX: _, ...environment } = process.env
  const { status, stderr } = spawnSync(process.execPath, [script], {
    encoding: 'utf8',
    env: { ...environment, PATH: '/nowhere' },
  })
  t.equal(status, 1)
  t.match(stderr, /^no C\+\+ compiler found .*apt install g\+\+.*dnf install gcc-c\+\+.*xcode-select --install/s)
  t.notMatch(stderr, /\n\s+at /, 'no stack')
})
