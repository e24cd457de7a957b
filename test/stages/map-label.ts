import t from 'tap'
import { materialise } from '../../imaging/volume.ts'
import { mapLabel } from '../../stages/map-label.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const labelOf = (...values: number[]): ReturnType<typeof inSlabs> =>
  inSlabs(volumeOf(gridOf([2, 1, values.length / 2]), (x, _, z) => values[z * 2 + x]!))

async function mapped(options: object, ...values: number[]): Promise<number[]> {
  const [sample] = await runStage(mapLabel, { kind: 'map-label', ...options }, [
    sampleWith({ label: labelOf(...values) }, { label: 'mask.nii' }),
  ])
  return [...(await materialise(sample!.label!))]
}

t.test('the published labels: ceil(value / 3)', async t => {
  t.same(await mapped({ divide: 3, classes: 2 }, 0, 1, 2, 3, 0, 3), [0, 1, 1, 1, 0, 1])
  await t.rejects(mapped({ divide: 3, classes: 2 }, 0, 1, 4, 3), {
    code: 'ERR_LABEL',
    message: /mask\.nii: expected label values 0, 1, 2, 3, found 4 in 1 voxels of planes 1 to 1/,
  })
  t.same(await mapped({ divide: 3 }, 0, 4), [0, 2])
})

t.test('an explicit map knows only its own values', async t => {
  const map = { '0': 0, '1': 1, '2': 1, '-1': 0 }
  t.same(await mapped({ map }, 0, 2, 1, -1), [0, 1, 1, 0])
  await t.rejects(mapped({ map }, 7, 7), { code: 'ERR_LABEL', facts: { value: 7, count: 2 } })
  await t.rejects(mapped({ map: { '1': 1 } }, 0, 1), { code: 'ERR_LABEL', message: /found 0 in 1/ })
})

t.test('without options the values must be class indices', async t => {
  t.same(await mapped({}, 0, 1, 255, 3), [0, 1, 255, 3])
  for (const bad of [256, -1, 0.5, NaN, Infinity])
    await t.rejects(mapped({}, 0, bad), { code: 'ERR_LABEL', message: `found ${bad} in 1` }, `${bad}`)
})

t.test('an empty label is a label', async t => {
  t.same(await mapped({ divide: 3 }, 0, 0), [0, 0])
})

t.test('options that contradict each other are refused before any data flow', async t => {
  await t.rejects(runStage(mapLabel, { kind: 'map-label', divide: 3, map: { '0': 0 } }, []), {
    code: 'ERR_DEFINITION',
    message: /found both/,
  })
  await t.rejects(runStage(mapLabel, { kind: 'map-label', map: { lesion: 1 } }, []), {
    code: 'ERR_DEFINITION',
    message: /"lesion"/,
  })
  await t.rejects(runStage(mapLabel, { kind: 'map-label', map: { '1': 2 }, classes: 2 }, []), {
    code: 'ERR_DEFINITION',
    message: /below 2/,
  })
})
