import t from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { adam } from '../reference/adam.ts'
import { conforms, skip } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

t.test("five of Adam's steps, with and without weight decay", { skip }, async t => {
  for (const size of [1, 2, 7, 8, 9, 15, 16, 17, 33, 40_000])
    for (const weightDecay of [0, 0.1]) {
      const options = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay }
      const start = normals(size, 'param')
      const gradients = [1, 2, 3, 4, 5].map(step => normals(size, `gradient ${step}`))
      let expected: ReturnType<typeof adam> = {
        param: Float64Array.from(start),
        m: new Float64Array(size),
        v: new Float64Array(size),
      }
      gradients.forEach((gradient, i) => {
        expected = adam(expected.param, expected.m, expected.v, gradient, { ...options, step: i + 1 })
      })
      conforms(
        t,
        `${size} parameters, weight decay ${weightDecay}`,
        addon => {
          const [param, m, v] = [start.slice(), new Float32Array(size), new Float32Array(size)]
          gradients.forEach((gradient, i) => {
            const step = i + 1
            addon.adamUpdate(
              param,
              m,
              v,
              gradient,
              size,
              options.beta1,
              options.beta2,
              options.epsilon,
              weightDecay,
              options.learningRate / (1 - options.beta1 ** step),
              Math.sqrt(1 - options.beta2 ** step),
            )
          })
          return [param, m, v]
        },
        [
          { name: 'param', values: expected.param, tolerance: 1e-6 },
          { name: 'm', values: expected.m, tolerance: 1e-6 },
          { name: 'v', values: expected.v, tolerance: 1e-6 },
        ],
      )
    }
})

t.test('moments of another size are refused', { skip }, async t => {
  const [a, b] = [new Float32Array(8), new Float32Array(7)]
  t.throws(() => loadAddon().adamUpdate(a, b, a, a, 8, 0.9, 0.999, 1e-8, 0, 1, 1), { message: /m has 7 elements/ })
})
