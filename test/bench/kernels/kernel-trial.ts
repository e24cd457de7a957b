import t from 'tap'
import { bench } from '../../../bench/kernels/bench.ts'
import { differenceFromScalar, Memory } from '../../../bench/kernels/kernel-trial.ts'
import { loadAddon } from '../../../native/addon.ts'
import { skip } from '../../support/kernels.ts'

const nothing = () => ({ run: () => {}, outputs: [new Float32Array(2).fill(NaN)] })

t.test('a variant that computes something else is found out before it is timed', { skip }, async t => {
  const addon = loadAddon()
  const fastest = addon.isa()
  if (fastest === 'scalar') return t.pass('there is no other variant here')
  const right = new Float32Array([1, -4])
  const wrong = new Float32Array([1.1, -4])
  const pretend = () => {
    const output = new Float32Array(2)
    return { run: () => output.set(addon.isa() === 'scalar' ? right : wrong), outputs: [output] }
  }
  const difference = differenceFromScalar(addon, pretend)
  t.ok(Math.abs(difference - 0.1 / 4) < 1e-6, `${difference}`)
  t.equal(addon.isa(), fastest, 'the fastest variant is back')
  t.equal(differenceFromScalar(addon, nothing), Infinity, 'what is not written is not equal')
})

t.test('every case has a name of its own, and both widths of the network are there', { skip }, async t => {
  const names = bench.trials.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const shape of ['8ch/224x224x32', '16ch/112x112x16', '32ch/56x56x8', '64ch/28x28x4', '128ch/28x28x4']) {
    for (const op of ['conv3d-forward', 'conv3d-input-gradient', 'conv3d-filter-gradient'])
      t.ok(names.includes(`${op}/${shape}/float32`), `${op}/${shape}`)
  }
  t.notOk(
    names.some(name => name.startsWith('conv3d-input-gradient/1to')),
    'nobody needs the gradient of the image',
  )
})

t.test('the probes measure something, and unknown ones are refused', { skip }, async t => {
  const addon = loadAddon()
  for (const kind of ['float32', 'copy'] as const) {
    const found = addon.peak(kind, 0.002)!
    t.ok(found.rate > 0 && found.probe !== '', `${kind}: ${found.rate} by ${found.probe}`)
  }
  const bfloat16 = addon.peak('bfloat16', 0.002)
  t.ok(bfloat16 === null || bfloat16.rate > 0)
  t.throws(() => addon.peak('float8' as never, 0.01), { message: /expected float32, bfloat16 or copy/ })
})

t.test('inputs keep their noise while outputs are written', async t => {
  const memory = new Memory()
  const input = memory.input('a', 100)
  const before = input.slice()
  memory.output('a', 100).fill(7)
  t.same(memory.input('a', 50), before.subarray(0, 50))
})
