import highland from 'highland'
import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import type { Batch } from '../../pipeline/engine.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { batch } from '../../stages/batch.ts'
import { contextOf, nothingBefore, optionsFrom, sampleWith } from '../support/stage.ts'

function patchOf(value: number, shape: Shape3 = [2, 1, 2]): Sample {
  const volume = residentVolume(
    { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] },
    new Float32Array(shape[0] * shape[1] * shape[2]).fill(value),
  )
  return sampleWith({ image: volume, label: volume }, { id: `case${value}` })
}

async function batches(size: number, patches: readonly Sample[]): Promise<Batch[]> {
  const transform = batch.create(optionsFrom(batch, { kind: 'batch', size }), contextOf(), nothingBefore)
  return (await transform(highland<Item>([...patches]))
    .collect()
    .toPromise(Promise)) as unknown as Batch[]
}

t.test('patches lie side by side in shared memory; the last batch may be smaller', async t => {
  const [first, last] = await batches(2, [patchOf(1), patchOf(2), patchOf(3)])
  t.same([...first!.image], [1, 1, 1, 1, 2, 2, 2, 2])
  t.same([...first!.label], [1, 1, 1, 1, 2, 2, 2, 2])
  t.same([first!.count, last!.count], [2, 1])
  t.same(first!.cases, ['case1', 'case2'])
  t.same(last!.shape, [2, 1, 2])
  t.ok(first!.image.buffer instanceof SharedArrayBuffer && first!.label.buffer instanceof SharedArrayBuffer)
})

t.test('a batch that was released lends its memory to a later one', async t => {
  const transform = batch.create(optionsFrom(batch, { kind: 'batch', size: 2 }), contextOf(), nothingBefore)
  const buffers: ArrayBufferLike[] = []
  const patches = [1, 2, 3, 4, 5].map(value => patchOf(value))
  for await (const item of transform(highland<Item>(patches)).toNodeStream({ objectMode: true, highWaterMark: 1 })) {
    const { image, label, count, release } = item as unknown as Batch
    const expected = [2 * buffers.length + 1, 2 * buffers.length + 2]
      .slice(0, count)
      .flatMap(value => Array(4).fill(value))
    t.same([[...image], [...label]], [expected, expected])
    buffers.push(image.buffer)
    release!()
  }
  t.equal(buffers.length, 3)
  t.ok(new Set(buffers).size < 3, `${new Set(buffers).size} of 3`)
})

t.test('patches of two shapes are refused with both', async t => {
  await t.rejects(batches(2, [patchOf(1), patchOf(2, [1, 2, 2])]), {
    code: 'ERR_VOLUME',
    message: /case2: .*2 x 1 x 2.*found 1 x 2 x 2/,
  })
})
