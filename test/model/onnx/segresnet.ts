import t from 'tap'
import { perturbed } from '../../../fixtures/make-golden.ts'
import { segresnetGraph } from '../../../model/onnx/segresnet.ts'
import { publishedSegresnet, type SegresnetOptions } from '../../../model/segresnet.ts'

const networks: Readonly<Record<string, SegresnetOptions>> = {
  published: publishedSegresnet,
  'one level': { ...publishedSegresnet, blocksDown: [1], blocksUp: [] },
  'no blocks': { ...publishedSegresnet, blocksDown: [0, 0], blocksUp: [0] },
  'two input channels': { ...publishedSegresnet, blocksDown: [1, 0, 2], blocksUp: [2, 1], inChannels: 2 },
}

for (const [name, network] of Object.entries(networks)) {
  t.test(`${name}: every node reads what is there before it, and nothing is made in vain`, t => {
    const { nodes, initializers, inputs, outputs } = segresnetGraph(network, perturbed(network))
    const known = new Set(['', ...[...initializers, ...inputs].map(({ name }) => name)])
    t.equal(known.size, 1 + initializers.length + inputs.length, 'names are given once')
    const read = new Set(outputs.map(({ name }) => name))
    for (const node of nodes) {
      t.same(
        node.inputs.filter(input => !known.has(input)),
        [],
        `inputs of ${node.name}`,
      )
      t.notOk(known.has(node.output), `${node.output} is made once`)
      known.add(node.output)
      for (const input of node.inputs) read.add(input)
    }
    t.same(
      [...known].filter(value => value !== '' && !read.has(value)),
      [],
      'unread values',
    )
    t.equal(new Set(nodes.map(({ name }) => name)).size, nodes.length)
    t.end()
  })
}

t.test('batch and extents are free, channels are not', t => {
  const network = { ...networks['two input channels']!, outChannels: 3 }
  const { inputs, outputs } = segresnetGraph(network, perturbed(network))
  t.same(inputs, [{ name: 'image', shape: ['batch', 2, 'x', 'y', 'z'] }])
  t.same(outputs, [{ name: 'logits', shape: ['batch', 3, 'x', 'y', 'z'] }])
  t.end()
})

t.test('dropout leaves no trace', t => {
  const network = { ...publishedSegresnet, initFilters: 2, groups: 1 }
  const weights = perturbed(network)
  t.same(segresnetGraph({ ...network, dropout: 0.5 }, weights), segresnetGraph(network, weights))
  t.end()
})
