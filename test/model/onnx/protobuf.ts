import t from 'tap'
import { byteLength, encodeModel, float32Tensor, int64Tensor, type OnnxModel } from '../../../model/onnx/protobuf.ts'
import { decodeModel } from '../../support/onnx.ts'

const values = Float32Array.of(1, -0, 1e-40, 3.5, NaN, -Infinity)
const model: OnnxModel = {
  irVersion: 8,
  opset: 17,
  producerName: 'ctflow',
  producerVersion: '1.2.3-é',
  metadata: { network: '{"kind":"segresnet"}', 'a key': 'x'.repeat(300) },
  graph: {
    name: 'graph',
    nodes: [
      {
        name: 'first',
        operator: 'Resize',
        inputs: ['image', '', 'scales'],
        output: 'up',
        attributes: { mode: 'linear', epsilon: 0.5, pads: [0, 1, 300, -1] },
      },
      { name: 'second', operator: 'Relu', inputs: ['up'], output: 'logits', attributes: {} },
    ],
    initializers: [
      float32Tensor('scales', [2, 3], values),
      float32Tensor('scalar', [], Float32Array.of(2)),
      float32Tensor('many', [100, 100], new Float32Array(10_000).fill(0.1)),
      int64Tensor('shape', [0, -1, 2 ** 40]),
    ],
    inputs: [{ name: 'image', shape: ['batch', 1, 'x'] }],
    outputs: [{ name: 'logits', shape: ['batch', 300, 'x'] }],
  },
}

/** With lists of numbers for bytes, since a Buffer and a Uint8Array are not the same. */
function plain({ graph, ...rest }: OnnxModel): unknown {
  const initializers = graph.initializers.map(tensor => ({ ...tensor, bytes: [...tensor.bytes] }))
  return { ...rest, graph: { ...graph, initializers } }
}

t.test('everything that is written comes back', t => {
  t.same(plain(decodeModel(Buffer.concat(encodeModel(model)))), plain(model))
  t.end()
})

t.test('integers are 64 bits wide, little-endian', t => {
  t.same([...int64Tensor('shape', [-1, 258]).bytes], [...Array<number>(8).fill(255), 2, 1, 0, 0, 0, 0, 0, 0])
  t.end()
})

t.test('values are passed on as they lie, without a copy', t => {
  const pieces = encodeModel(model)
  t.ok(pieces.some(piece => piece.buffer === values.buffer))
  t.equal(byteLength(pieces), Buffer.concat(pieces).length)
  t.end()
})

t.test('an array that is a part of a larger buffer is that part', t => {
  const part = Float32Array.of(9, 1, 2, 9).subarray(1, 3)
  t.same([...float32Tensor('part', [2], part).bytes], [...Buffer.from(Float32Array.of(1, 2).buffer)])
  t.end()
})

t.test('values that do not fill their shape are a bug', t => {
  t.throws(() => float32Tensor('w', [2, 2], values), { message: /w: 6 values.*2 x 2/ })
  t.end()
})
