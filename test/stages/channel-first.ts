import t from 'tap'
import { channelFirst } from '../../stages/channel-first.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const volume = volumeOf(gridOf([2, 2, 2]), x => x)

t.test('one channel passes as it is', async t => {
  const [sample] = await runStage(channelFirst, { kind: 'channel-first' }, [
    sampleWith({ image: volume, label: volume }),
  ])
  t.equal(sample!.image, volume)
  t.equal(sample!.label, volume)
})

t.test('several volumes are refused with their number', async t => {
  const several = { ...volume, volumes: 4 }
  await t.rejects(
    runStage(channelFirst, { kind: 'channel-first' }, [sampleWith({ image: several }, { image: 'ct.nii' })]),
    {
      code: 'ERR_VOLUME',
      message: /ct\.nii: expected one channel, found 4/,
      facts: { stage: 'channel-first', case: 'case' },
    },
  )
})
