import t from 'tap'
import { axcodesOf } from '../../imaging/orient.ts'
import { materialise } from '../../imaging/volume.ts'
import { orient } from '../../stages/orient.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const lps = volumeOf(gridOf([3, 2, 2], [-1, -1, 2]), (x, y, z) => x + 10 * y + 100 * z)

t.test('image and label turn together; one step says how the image did', async t => {
  const [sample] = await runStage(orient, { kind: 'orient' }, [sampleWith({ image: lps, label: lps })])
  t.equal(axcodesOf(sample!.image!.grid.affine), 'RAS')
  t.same(await materialise(sample!.image!), await materialise(sample!.label!))
  t.same([...(await materialise(sample!.image!))].slice(0, 6), [12, 11, 10, 2, 1, 0])
  t.same(sample!.steps, [{ kind: 'orient', from: lps.grid, to: sample!.image!.grid }])
})

t.test('what already runs so is left alone', async t => {
  const [sample] = await runStage(orient, { kind: 'orient', axcodes: 'LPS' }, [sampleWith({ image: lps })])
  t.equal(sample!.image, lps)
  t.same(sample!.steps, [])
})

t.test('axes that are named twice are refused before any data flow', async t => {
  await t.rejects(runStage(orient, { kind: 'orient', axcodes: 'RRS' }, []), {
    code: 'ERR_DEFINITION',
    message: /"RRS"/,
  })
  await t.rejects(runStage(orient, { kind: 'orient', axcodes: 'XYZ' }, []), /pattern/)
})
