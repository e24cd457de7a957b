import t from 'tap'
import { materialise } from '../../imaging/volume.ts'
import { pad } from '../../stages/pad.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const volume = volumeOf(gridOf([2, 1, 2]), (x, _, z) => 5 - x + z)

t.test('the image gets the least of each line, the label zeros', async t => {
  const [sample] = await runStage(pad, { kind: 'pad', size: [4, 1, 1] }, [
    sampleWith({ image: inSlabs(volume), label: inSlabs(volume) }),
  ])
  t.same([...(await materialise(sample!.image!))], [4, 5, 4, 4, 5, 6, 5, 5])
  t.same([...(await materialise(sample!.label!))], [0, 5, 4, 0, 0, 6, 5, 0])
  t.same(sample!.steps, [{ kind: 'pad', from: volume.grid, before: [1, 0, 0], to: sample!.image!.grid }])
  t.equal(sample!.image!.grid.affine[3], -1)
})

t.test('the published size by default', async t => {
  const [sample] = await runStage(pad, { kind: 'pad' }, [sampleWith({ label: volume })])
  t.same(sample!.label!.grid.shape, [224, 224, 32])
  t.same(sample!.steps, [], 'steps are about the image')
})

t.test('all at the end, and nothing where nothing is missing', async t => {
  const [end] = await runStage(pad, { kind: 'pad', size: [3, 1, 2], method: 'end', image: 'edge' }, [
    sampleWith({ image: volume }),
  ])
  t.same([...(await materialise(end!.image!))], [5, 4, 4, 6, 5, 5])
  const [same] = await runStage(pad, { kind: 'pad', size: [1, 1, 1] }, [sampleWith({ image: volume })])
  t.equal(same!.image, volume)
  t.same(same!.steps, [])
})
