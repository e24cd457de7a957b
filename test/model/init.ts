import t from 'tap'
import { initialWeights } from '../../model/init.ts'
import { publishedSegresnet, segresnetParameters } from '../../model/segresnet.ts'

const specs = segresnetParameters(publishedSegresnet)
const first = (seed: number): Float32Array => initialWeights(specs, seed).get('convInit.conv.weight')!.data

t.test('filters are uniform within one over the root of their fan-in, norms are 1 and 0', t => {
  const weights = initialWeights(specs, 0)
  t.same(
    [...weights.keys()],
    specs.map(({ name }) => name),
  )
  for (const { name, kind, shape, fanIn } of specs) {
    const { data, shape: found } = weights.get(name)!
    t.same(found, shape)
    if (kind === 'scale')
      t.ok(
        data.every(value => value === 1),
        name,
      )
    else if (kind === 'shift')
      t.ok(
        data.every(value => value === 0),
        name,
      )
    else {
      const bound = 1 / Math.sqrt(fanIn)
      t.ok(
        data.every(value => Math.abs(value) <= bound),
        `${name} within ${bound}`,
      )
      if (data.length < 1000) continue
      const mean = data.reduce((sum, value) => sum + value, 0) / data.length
      const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length
      t.ok(Math.abs(mean) < (5 * bound) / Math.sqrt(3 * data.length), `${name}: mean ${mean}`)
      t.ok(Math.abs(variance / (bound ** 2 / 3) - 1) < 0.1, `${name}: variance ${variance}`)
    }
  }
  t.equal(
    weights.get('conv_final.2.conv.bias')!.data.every(value => value !== 0),
    true,
  )
  t.end()
})

t.test('the same seed gives the same weights, another seed others', t => {
  t.same(first(1), first(1))
  t.notSame(first(1), first(2))
  t.end()
})

t.test('a parameter does not depend on those after it', t => {
  const few = initialWeights(specs.slice(0, 8), 4)
  const all = initialWeights(specs, 4)
  for (const [name, { data }] of few) t.same(data, all.get(name)!.data)
  t.end()
})
