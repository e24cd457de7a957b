import t from 'tap'
import {
  chooseMatrixUnit,
  emulatedUnit,
  type MatrixConfig,
} from '../../../engine/backends/webgpu/kernels/conv3d/matrix-unit.ts'

const config = (M: number, N: number, K: number, componentType = 'f16', resultComponentType = 'f32'): MatrixConfig => ({
  componentType,
  resultComponentType,
  M,
  N,
  K,
})

t.test("of an adapter's units that multiply float16 and add in float32 16 x 16 x 16 is taken, else the largest", t => {
  const small = config(8, 8, 8)
  t.match(chooseMatrixUnit([small, config(16, 16, 16), config(32, 32, 16)], 32), { m: 16, n: 16, k: 16, subgroup: 32 })
  t.match(chooseMatrixUnit([small, config(8, 16, 16)], 16), { m: 8, n: 16, k: 16, subgroup: 16 })
  for (const unfit of [[], [config(16, 16, 16, 'f16', 'f16')], [config(16, 16, 32, 'i8', 'i32')], [config(16, 16, 4)]])
    t.equal(chooseMatrixUnit(unfit, 32), undefined)
  t.end()
})

t.test('an emulated unit needs threads that share its results', t => {
  t.throws(() => emulatedUnit(8, 8, 8, 'f32', 48), /expected 48 threads that share 8 x 8 results/)
  t.end()
})
