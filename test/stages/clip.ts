import t from 'tap'
import { materialise } from '../../imaging/volume.ts'
import { clip } from '../../stages/clip.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const hu = [-2000, -1000, -250, 500, 501, 3000]
const volume = volumeOf(gridOf([3, 1, 2]), (x, _, z) => hu[z * 3 + x]!)

t.test('the published range by default; labels are left alone', async t => {
  const [sample] = await runStage(clip, { kind: 'clip' }, [sampleWith({ image: inSlabs(volume), label: volume })])
  t.same([...(await materialise(sample!.image!))], [0, 0, 0.5, 1, 1, 1])
  t.equal(sample!.label, volume)
  t.same([...volume.resident!], hu)
})

t.test('another range', async t => {
  const [sample] = await runStage(clip, { kind: 'clip', min: -2000, max: 3000, to: [-1, 1] }, [
    sampleWith({ image: volume }),
  ])
  t.same(
    [...(await materialise(sample!.image!))].map(value => +value.toFixed(4)),
    [-1, -0.6, -0.3, 0, 0.0004, 1],
  )
})

t.test('a range that is none is refused before any data flow', async t => {
  await t.rejects(runStage(clip, { kind: 'clip', min: 5, max: 5 }, []), {
    code: 'ERR_DEFINITION',
    message: /min < max, found 5 and 5/,
  })
  await t.rejects(runStage(clip, { kind: 'clip', to: [1, 0] }, []), { code: 'ERR_DEFINITION' })
  await t.rejects(runStage(clip, { kind: 'clip', minimum: 5 }, []), /additional properties/)
})
