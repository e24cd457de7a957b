import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import type { Score, Shape3, Volume } from '../../pipeline/stage.ts'
import { dice } from '../../stages/dice.ts'
import { runStage, sampleWith } from '../support/stage.ts'

const mask = (values: number[], shape: Shape3 = [values.length, 1, 1]): Volume =>
  residentVolume({ shape, affine: [2, 0, 0, 0, 0, 0, 5, 0, 0, -10, 0, 0, 0, 0, 0, 1] }, Float32Array.from(values))

async function score(prediction: number[], label: number[], json: object = {}): Promise<Score['metrics']> {
  const scores = await runStage(dice, { kind: 'dice', ...json }, [
    sampleWith({ prediction: mask(prediction), label: mask(label) }),
  ])
  return (scores as unknown as Score[])[0]!.metrics
}

t.test('overlap and volumes, with voxels of 2 x 10 x 5 mm', async t => {
  t.match(await score([1, 1, 0, 0], [1, 0, 1, 1]), {
    dice: 0.4,
    iou: 0.25,
    sensitivity: 1 / 3,
    precision: 0.5,
    predictedMl: 0.2,
    differenceMl: -0.1,
  })
})

t.test('empty masks by either rule', async t => {
  t.equal((await score([0, 0], [0, 0]))['dice'], 1)
  t.equal((await score([0, 1], [0, 0]))['dice'], 0)
  t.equal((await score([0, 0], [0, 1]))['dice'], 0)
  t.equal((await score([0, 1], [0, 0], { emptyRule: 'monai' }))['dice'], null)
  t.equal((await score([0, 0], [0, 1], { emptyRule: 'monai' }))['dice'], 0)
})

t.test('values that are no class, other shapes and missing references are refused', async t => {
  await t.rejects(score([0, 2], [0, 1]), { code: 'ERR_LABEL', message: /the mask holds the value 2/ })
  await t.rejects(score([0, 1], [0, 0.5]), { code: 'ERR_LABEL', message: /the label holds the value 0.5/ })
  await t.rejects(score([0, 1], [0, NaN]), { code: 'ERR_LABEL', message: /NaN/ })
  t.equal((await score([0, 2], [0, 2], { classes: 3, value: 2 }))['dice'], 1)
  await t.rejects(score([0, 1], [0, 1, 0]), {
    code: 'ERR_GEOMETRY',
    message: /2 x 1 x 1 voxels, the reference 3 x 1 x 1/,
  })
  await t.rejects(runStage(dice, { kind: 'dice' }, [sampleWith({ prediction: mask([1]) })]), {
    code: 'ERR_DATASET',
    message: /expected a label/,
  })
})
