import t from 'tap'
import { initialWeights } from '../../model/init.ts'
import { segresnetOf } from '../../model/segresnet-of.ts'
import { publishedSegresnet, segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'

t.test('the shapes of the weights tell the network', t => {
  const changes: Partial<SegresnetOptions>[] = [
    {},
    { initFilters: 16, outChannels: 5 },
    { initFilters: 4, groups: 4 },
    { initFilters: 6, groups: 2, inChannels: 3 },
    { blocksDown: [2, 1], blocksUp: [3] },
    { blocksDown: [1], blocksUp: [] },
    { blocksDown: [0, 2, 0], blocksUp: [0, 1] },
    { blocksDown: [1, 0, 0], blocksUp: [0, 0] },
    { blocksDown: [12, 1], blocksUp: [11] },
  ]
  for (const change of changes) {
    const options = { ...publishedSegresnet, ...change }
    t.same(segresnetOf(initialWeights(segresnetParameters(options), 1)), options, JSON.stringify(change))
  }
  t.end()
})

t.test("other networks' weights are not taken for a SegResNet's", t => {
  t.equal(segresnetOf(new Map()), undefined)
  t.equal(segresnetOf(new Map([['encoder.0.weight', tensor(3, 3)]])), undefined)
  t.equal(
    segresnetOf(
      new Map([
        ['convInit.conv.weight', tensor(8, 1, 3, 3)],
        ['conv_final.2.conv.weight', tensor(2, 8, 1, 1)],
      ]),
    ),
    undefined,
    'a 2-D one',
  )
  t.end()
})

t.test('a network of more levels or blocks than any has is none, whatever a few names claim', t => {
  t.equal(segresnetOf(named('down_layers.999.1.norm1.weight')), undefined)
  t.equal(segresnetOf(named('down_layers.1.999.norm1.weight')), undefined)
  t.equal(segresnetOf(named('up_layers.0.999.norm1.weight')), undefined)
  t.end()
})

t.test('where the way up is missing, it is expected, so that it can be listed', t => {
  const names = initialWeights(segresnetParameters(publishedSegresnet), 1)
  const down = new Map([...names].filter(([name]) => !name.startsWith('up_')))
  t.same(segresnetOf(down), publishedSegresnet)
  t.end()
})

function tensor(...shape: number[]): { shape: number[]; data: Float32Array } {
  return { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) }
}

/** Both ends of a SegResNet, and more. */
function named(...names: string[]): Parameters<typeof segresnetOf>[0] {
  return new Map([
    ['convInit.conv.weight', tensor(8, 1, 3, 3, 3)],
    ['conv_final.2.conv.weight', tensor(2, 8, 1, 1, 1)],
    ...names.map(name => [name, tensor(8)] as const),
  ])
}
