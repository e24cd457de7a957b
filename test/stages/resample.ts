import t from 'tap'
import { materialise, type LoadedVolume } from '../../imaging/volume.ts'
import { resample } from '../../stages/resample.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const grid = gridOf([6, 5, 4], [1, 1, 2], [-3, 7, 11])
const image = volumeOf(grid, (x, y, z) => x + 10 * y + 100 * z)
const label = volumeOf(grid, (x, _, z) => (x > 2 && z > 1 ? 1 : 0))

t.test('the image is interpolated, the label stays 0 and 1, both on one grid; nothing is read yet', async t => {
  const source = inSlabs(image)
  const [sample] = await runStage(resample, { kind: 'resample' }, [sampleWith({ image: source, label })])
  t.equal(source.ends, 0)
  t.same(sample!.image!.grid.shape, [7, 6, 2])
  t.same(sample!.label!.grid, sample!.image!.grid)
  const voxels = await materialise(sample!.image!)
  t.ok(maxDifference(voxels, volumeOf(sample!.image!.grid, (i, j, k) => 0.8 * i + 8 * j + 250 * k).resident!) < 1e-4)
  t.same(new Set(await materialise(sample!.label!)), new Set([0, 1]))
  t.same(sample!.steps, [{ kind: 'resample', from: grid, to: sample!.image!.grid }])
})

t.test('only the keys asked for, and the header stays', async t => {
  const header = new Uint8Array(348)
  const loaded: LoadedVolume = { ...image, header }
  const [sample] = await runStage(resample, { kind: 'resample', keys: ['image'] }, [
    sampleWith({ image: loaded, label }),
  ])
  t.equal(sample!.label, label)
  t.equal((sample!.image as LoadedVolume).header, header)
})

t.test('a spacing that is there already changes nothing', async t => {
  const [sample] = await runStage(resample, { kind: 'resample', spacing: [1, 1, 0] }, [sampleWith({ image, label })])
  t.equal(sample!.image, image)
  t.same(sample!.steps, [])
})
