import t from 'tap'
import { materialise } from '../../imaging/volume.ts'
import { cropForeground } from '../../stages/crop-foreground.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const grid = gridOf([5, 4, 6], [1, 1, 2])
const image = volumeOf(grid, (x, y, z) => (x > 0 && x < 4 && y > 1 && z > 2 && z < 5 ? 1 + x : 0))
const label = volumeOf(grid, (x, y, z) => x + 10 * y + 100 * z)

t.test('image and label are cropped to the box of the image, lazily after one pass', async t => {
  const source = inSlabs(image)
  const [sample] = await runStage(cropForeground, { kind: 'crop-foreground' }, [sampleWith({ image: source, label })])
  t.equal(source.ends, 1)
  t.same(sample!.image!.grid.shape, [3, 2, 2])
  t.same([...(await materialise(sample!.image!))], [2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4])
  t.same([...(await materialise(sample!.label!))].slice(0, 4), [321, 322, 323, 331])
  t.same(sample!.steps, [{ kind: 'crop', from: grid, start: [1, 2, 3], to: sample!.image!.grid }])
  t.equal(sample!.image!.grid.affine[11], 6)
})

t.test('a source that may be kept is pulled once, a larger one again', async t => {
  for (const [keep, pulls] of [
    ['64MiB', 1],
    [5 * 4 * 6 * 4, 1],
    [5 * 4 * 6 * 4 - 1, 2],
    [0, 2],
  ] as const) {
    const source = inSlabs(image)
    const [sample] = await runStage(cropForeground, { kind: 'crop-foreground', keep }, [sampleWith({ image: source })])
    const voxels = await materialise(sample!.image!)
    t.same([...voxels], [2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4])
    t.equal(source.ends, pulls, `${keep}`)
  }
})

t.test('margin and another source', async t => {
  const [sample] = await runStage(
    cropForeground,
    { kind: 'crop-foreground', source: 'label', threshold: 500, margin: 1 },
    [sampleWith({ image, label })],
  )
  t.same(sample!.image!.grid.shape, [5, 4, 2])
})

t.test('nothing above the threshold is an error of that case', async t => {
  await t.rejects(runStage(cropForeground, { kind: 'crop-foreground', threshold: 9 }, [sampleWith({ image })]), {
    code: 'ERR_VOLUME',
    facts: { case: 'case', stage: 'crop-foreground' },
  })
  await t.rejects(runStage(cropForeground, { kind: 'crop-foreground' }, [sampleWith({ label })]), {
    code: 'ERR_DATASET',
  })
})

t.test('a mask on another grid is refused', async t => {
  const other = volumeOf(gridOf([2, 2, 2]), () => 1)
  await t.rejects(runStage(cropForeground, { kind: 'crop-foreground' }, [sampleWith({ image, label: other })]), {
    code: 'ERR_GEOMETRY',
    message: /5 x 4 x 6 voxels, found 2 x 2 x 2/,
  })
  const [sample] = await runStage(cropForeground, { kind: 'crop-foreground', keys: ['image'] }, [
    sampleWith({ image, label: other }),
  ])
  t.equal(sample!.label, other)
})
