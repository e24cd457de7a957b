import t from 'tap'
import { clipTo } from '../../imaging/intensity.ts'

t.test('the published range', async t => {
  const hu = Float32Array.from([-2000, -1000, -999, -250, 0, 499, 500, 3000])
  const expected = Float32Array.from([
    0,
    0,
    Math.fround(1 / 1500),
    0.5,
    Math.fround(1000 / 1500),
    Math.fround(1499 / 1500),
    1,
    1,
  ])
  t.same([...clipTo(hu, { min: -1000, max: 500, to: [0, 1] })], [...expected])
  t.equal(hu[0], -2000, 'the argument is left alone')
})

t.test('every operation is rounded to float32, in order', async t => {
  const { fround } = Math
  const [found] = clipTo(Float32Array.of(33.3), { min: -160.5, max: 240.25, to: [-1, 1.5] })
  const scaled = fround(fround(fround(33.3) - fround(-160.5)) / fround(400.75))
  t.equal(found, fround(fround(scaled * 2.5) + -1))
})
