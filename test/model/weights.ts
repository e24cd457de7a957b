import t from 'tap'
import { initialWeights } from '../../model/init.ts'
import { publishedSegresnet, segresnetParameters } from '../../model/segresnet.ts'
import { checkWeights, engineShape, fromEngineOrder, toEngineOrder } from '../../model/weights.ts'

t.test('a filter (co, ci, kx, ky, kz) becomes (kz, ky, kx, ci, co) and returns', t => {
  const shape = [2, 3, 4, 5, 6]
  const data = Float32Array.from({ length: 720 }, (_, i) => i)
  const ours = toEngineOrder(data, shape)
  t.same(engineShape(shape), [6, 5, 4, 3, 2])
  const [o, i, x, y, z] = [1, 2, 3, 1, 4]
  t.equal(ours[(((z! * 5 + y!) * 4 + x!) * 3 + i!) * 2 + o!], data[(((o! * 3 + i!) * 4 + x!) * 5 + y!) * 6 + z!])
  t.same(fromEngineOrder(ours, shape), data)
  t.end()
})

t.test('a vector stays, as a copy', t => {
  const data = Float32Array.of(1, 2, 3)
  const ours = toEngineOrder(data, [3])
  t.same(ours, data)
  t.not(ours, data)
  t.same(engineShape([3]), [3])
  t.end()
})

t.test('one error lists all that is missing, unexpected and misshapen', t => {
  const specs = segresnetParameters(publishedSegresnet)
  const weights = new Map(initialWeights(specs, 0))
  t.doesNotThrow(() => checkWeights(weights, specs))
  weights.delete('convInit.conv.weight')
  weights.set('decoder.weight', { shape: [1], data: new Float32Array(1) })
  weights.set('conv_final.2.conv.bias', { shape: [3], data: new Float32Array(3) })
  t.throws(() => checkWeights(weights, specs, 'model.safetensors'), {
    code: 'ERR_WEIGHTS',
    message:
      /^model\.safetensors: .*\n {2}missing \(1\): convInit\.conv\.weight\n {2}unexpected \(1\): decoder\.weight\n {2}misshapen \(1\): conv_final\.2\.conv\.bias \(expected 2, found 3\)$/,
    facts: { missing: ['convInit.conv.weight'], unexpected: ['decoder.weight'] },
  })
  t.end()
})
