import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import type { Score, Shape3, Volume } from '../../pipeline/stage.ts'
import { dice } from '../../stages/dice.ts'
import { contextOf, nothingBefore, optionsFrom, runStage, sampleWith } from '../support/stage.ts'

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

t.test('of a case with several files, the one with the wrong value is named', async t => {
  const files = { image: '/scans/a.nii.gz', label: '/labels/a.nii.gz', prediction: '/masks/a.nii.gz' }
  const run = (prediction: number[], label: number[]): Promise<unknown> =>
    runStage(dice, { kind: 'dice' }, [sampleWith({ prediction: mask(prediction), label: mask(label) }, files)])
  await t.rejects(run([2], [1]), { message: /^\/masks\/a\.nii\.gz holds the value 2/ })
  await t.rejects(run([1], [3]), { message: /^\/labels\/a\.nii\.gz holds the value 3/ })
})

/** Voxels of 2 x 10 x 5 mm, one after the other along y. */
const column = (...values: number[]): Volume =>
  residentVolume(
    { shape: [1, values.length, 1], affine: [0, 10, 0, 0, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1] },
    Float32Array.from(values),
  )

async function scoreOf(prediction: Volume, label: Volume, json: object): Promise<Score['metrics']> {
  const scores = await runStage(dice, { kind: 'dice', ...json }, [sampleWith({ prediction, label })])
  return (scores as unknown as Score[])[0]!.metrics
}

t.test("surfaces are measured when asked for, in mm of the mask's own affine", async t => {
  const plain = await score([1, 1, 0, 0], [1, 0, 1, 1])
  t.notOk(
    Object.keys(plain).some(name => /^(hd|assd|nsd)/.test(name)),
    'not asked for',
  )
  // Along the second axis the affine goes 10 mm in x.
  const found = await scoreOf(column(1, 1, 0, 0), column(0, 0, 1, 0), { surface: {} })
  t.match(found, { dice: 0, hd: 20, assd: 40 / 3, nsd_1mm: 0, nsd_3mm: 0 })
  t.equal(found['hd95'], 19.5)
  t.same(Object.keys(found).slice(-5), ['hd', 'hd95', 'assd', 'nsd_1mm', 'nsd_3mm'])
  const asked = await scoreOf(column(1, 1, 0, 0), column(0, 0, 1, 0), {
    surface: { tolerancesMm: [10, 12.5, 20], percentile: 50 },
  })
  t.match(asked, { hd50: 15, nsd_10mm: 2 / 3, 'nsd_12.5mm': 2 / 3, nsd_20mm: 1 })
})

t.test('surfaces of empty masks follow the rule', async t => {
  const [none, some] = [column(0, 0), column(0, 1)]
  const surface = {}
  t.match(await scoreOf(none, none, { surface }), { hd: 0, hd95: 0, assd: 0, nsd_1mm: 1 })
  const diagonal = Math.hypot(2, 20, 5)
  t.match(await scoreOf(none, some, { surface }), { dice: 0, hd: diagonal, hd95: diagonal, assd: diagonal, nsd_1mm: 0 })
  const monai = { surface, emptyRule: 'monai' }
  t.match(await scoreOf(none, none, monai), { dice: null, hd: null, hd95: null, assd: null, nsd_1mm: null })
  t.match(await scoreOf(some, none, monai), { dice: null, hd: Infinity, hd95: null, assd: Infinity, nsd_1mm: 0 })
})

t.test('several classes are scored at once, with the mean of their Dice', async t => {
  const [prediction, label] = [
    [1, 1, 2, 0, 3],
    [1, 2, 2, 0, 0],
  ]
  const all = await score(prediction, label, { classes: 4 })
  t.match(all, { dice_class1: 2 / 3, dice_class2: 2 / 3, dice_class3: 0, dice: 4 / 9, predictedVoxels_class1: 2 })
  t.notOk('iou' in all, 'only Dice has a mean')
  t.same(await score(prediction, label, { classes: 4, value: 2 }), await score([0, 0, 1, 0, 0], [0, 1, 1, 0, 0]))
  // A class that only the prediction has is left out of the mean by MONAI's rule.
  const monai = await score(prediction, label, { classes: 4, emptyRule: 'monai' })
  t.match(monai, { dice_class3: null, dice: 2 / 3 })
  t.equal((await score([0, 0], [0, 0], { classes: 3, emptyRule: 'monai' }))['dice'], null)
  t.match(await score([1, 2], [1, 2], { classes: 3, surface: {} }), { hd_class1: 0, nsd_3mm_class2: 1 })
})

t.test('two classes, and one class asked for, have plain names', async t => {
  const names = Object.keys(await score([0, 1], [0, 1]))
  t.same(names, Object.keys(await score([0, 2], [0, 2], { classes: 3, value: 2 })))
  t.same(names.slice(0, 4), ['dice', 'iou', 'sensitivity', 'precision'])
})

t.test('a value that is no class, and options that make no sense, are refused before any data flow', async t => {
  t.throws(() => dice.create({ kind: 'dice', emptyRule: 'strict', classes: 2, value: 2 }, contextOf(), nothingBefore), {
    code: 'ERR_DEFINITION',
    message: /"value" from 1 to 1 for 2 classes, found 2/,
  })
  for (const surface of [{ percentile: 0 }, { percentile: 101 }, { tolerancesMm: [] }, { tolerancesMm: [-1] }])
    t.throws(() => optionsFrom(dice, { kind: 'dice', surface }), /surface/)
})

t.test('a mask that lies turned upon its reference is refused, whatever its shape', async t => {
  const label = mask([0, 0, 0, 1])
  const turned = residentVolume(
    { shape: label.grid.shape, affine: [-2, 0, 0, 6, 0, 0, 5, 0, 0, -10, 0, 0, 0, 0, 0, 1] },
    Float32Array.from([1, 0, 0, 0]),
  )
  await t.rejects(runStage(dice, { kind: 'dice' }, [sampleWith({ prediction: turned, label })]), {
    code: 'ERR_GEOMETRY',
    message: /corners up to 6 mm apart.*"keys": \["image"\]/,
  })
})
