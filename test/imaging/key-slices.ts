import t from 'tap'
import { keyPlanes, KeySliceStore } from '../../imaging/key-slices.ts'
import { maskOf, paint } from '../../imaging/mask.ts'
import { residentSpoolBytes } from '../../imaging/spool.ts'
import type { Mask, PlaneRuns } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { alive } from '../support/alive.ts'
import { gridOf } from '../support/nifti.ts'

const pause = async (): Promise<void> => {}
const one = new Set([1])

/** Planes of four voxels, the first so many of each set. */
const planes = (...counts: readonly (readonly [count: number, value?: number])[]): Mask =>
  maskOf(
    [4, 1, counts.length],
    Uint8Array.from(counts.flatMap(([count, value = 1]) => [0, 1, 2, 3].map(x => (x < count ? value : 0)))),
  )

t.test('planes of most difference and of the largest extents, each once, from below', async t => {
  const prediction = planes([0], [4], [1], [0], [1])
  const reference = planes([0], [3], [1], [2], [4])
  t.same(await keyPlanes(prediction, reference, one, pause), [1, 4], 'plane 4 differs most, and has most reference')
  t.same(await keyPlanes(planes([2], [1], [0]), planes([2], [3], [1]), one, pause), [0, 1])
  t.same(await keyPlanes(planes([1], [1]), planes([1], [1]), one, pause), [0], 'of equal ones the first')
  t.same(await keyPlanes(planes([0], [0], [2]), planes([0], [0], [0]), one, pause), [2])
  t.same(await keyPlanes(planes([0], [0]), planes([0], [0]), one, pause), [], 'none where nothing is')
})

t.test('only classes that are compared count, and are kept', async t => {
  const [prediction, reference] = [planes([4, 2], [0], [1, 1]), planes([0], [0], [1, 1])]
  t.same(await keyPlanes(prediction, reference, one, pause), [2])
  t.same(await keyPlanes(prediction, reference, new Set([1, 2]), pause), [0, 2])
  const store = new KeySliceStore()
  const mixed = maskOf([4, 1, 1], Uint8Array.of(1, 2, 2, 1))
  const slices = await store.keep(mixed, mixed, { grid: gridOf([4, 1, 1], [1, 1, 1]), values: one, pause })
  t.same([...paint((await slices.read()).planes[0]!.prediction, new Uint8Array(4))], [1, 0, 0, 1])
})

/** Every second voxel of each plane, beginning with `shift`. */
function stripes(shape: Shape3, shift: number): Mask {
  const n = (shape[0] * shape[1]) / 2
  const from = Uint32Array.from({ length: n }, (_, i) => 2 * i + shift)
  const runs: PlaneRuns = { from, to: from.map(at => at + 1), value: new Uint8Array(n).fill(1) }
  return { shape, plane: () => paint(runs, new Uint8Array(2 * n)), runs: () => runs }
}

t.test('many cases are read back from a file, and little of them is in memory', async t => {
  const shape: Shape3 = [256, 256, 2]
  const grid = gridOf(shape, [1, 1, 1])
  const [prediction, reference] = [stripes(shape, 0), stripes(shape, 1)]
  const store = new KeySliceStore(t.testdir({}))
  const before = alive()
  const kept = []
  // 590 kB each.
  for (let n = 0; n < 40; n++) kept.push(await store.keep(prediction, reference, { grid, values: one, pause }))
  const held = alive() - before
  t.ok(held < 2 * residentSpoolBytes, `${held} bytes of ${40 * 2 * 9 * 256 * 128}`)
  for (const slices of [kept[0]!, kept[39]!]) {
    const found = await slices.read()
    t.same(found.grid, grid)
    t.same(
      found.planes.map(({ z }) => z),
      [0],
    )
    t.same(found.planes[0]!.prediction, prediction.runs(0))
    t.same(found.planes[0]!.reference, reference.runs(0))
  }
  store.close()
  store.close()
  await t.rejects(kept[0]!.read(), /before the next pass/)
})

t.test('a whole mask is kept beside them, plane by plane, until the store is closed', async t => {
  const store = new KeySliceStore(t.testdir({}))
  const shape: Shape3 = [256, 256, 6]
  const [mask, other] = [stripes(shape, 1), planes([2], [0], [3, 2])]
  const kept = await store.keepMask(mask, { values: one, pause })
  // Of two classes, one of which is not wanted.
  const small = await store.keepMask(other, { values: one, pause })
  t.same(kept.shape, shape)
  for (const z of [5, 0]) {
    t.same(kept.runs(z), mask.runs(z))
    t.same(kept.plane(z, new Uint8Array(256 * 256).fill(7)), mask.plane(z))
  }
  t.same(
    [0, 1, 2].map(z => [...small.plane(z)]),
    [
      [1, 1, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ],
  )
  store.close()
  t.throws(() => kept.runs(0), /before the next pass/)
})

t.test("a plane without runs in one of the masks takes nobody's place", async t => {
  const store = new KeySliceStore()
  const options = { grid: gridOf([4, 1, 1], [1, 1, 1]), values: one, pause }
  const [first, second] = [
    await store.keep(planes([0]), planes([3]), options),
    await store.keep(planes([2]), planes([0]), options),
  ]
  const painted = async (slices: typeof first): Promise<number[][]> => {
    const [plane] = (await slices.read()).planes
    return [plane!.prediction, plane!.reference].map(runs => [...paint(runs, new Uint8Array(4))])
  }
  t.same(await painted(first), [
    [0, 0, 0, 0],
    [1, 1, 1, 0],
  ])
  t.same(await painted(second), [
    [1, 1, 0, 0],
    [0, 0, 0, 0],
  ])
})
