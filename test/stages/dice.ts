import highland from 'highland'
import t from 'tap'
import { maskOf, paint } from '../../imaging/mask.ts'
import { residentVolume } from '../../imaging/volume.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import type { Item, Prediction, Sample, Score } from '../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { dice, scoreNames } from '../../stages/dice.ts'
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

t.test("surfaces are measured unless they are not wanted, in mm of the reference's own affine", async t => {
  const plain = await score([1, 1, 0, 0], [1, 0, 1, 1], { surface: false })
  t.notOk(
    Object.keys(plain).some(name => /^(hd|assd|nsd)/.test(name)),
    'not wanted',
  )
  // Along the second axis the affine goes 10 mm in x.
  const found = await scoreOf(column(1, 1, 0, 0), column(0, 0, 1, 0), {})
  t.same(await scoreOf(column(1, 1, 0, 0), column(0, 0, 1, 0), { surface: true, lesions: true }), found)
  t.match(found, { dice: 0, hd: 20, assd: 40 / 3, nsd_1mm: 0, nsd_3mm: 0 })
  t.equal(found['hd95'], 19.5)
  t.same(
    Object.keys(found),
    [
      'dice iou sensitivity precision predictedVoxels referenceVoxels predictedMl referenceMl differenceMl',
      'absoluteDifferenceMl differencePercent absoluteDifferencePercent hd hd95 assd nsd_1mm nsd_3mm lesions',
      'predictedLesions lesionSensitivity lesionPrecision lesionF1 lesionSensitivityIou lesionPrecisionIou lesionF1Iou',
      'falsePositiveMl',
    ].flatMap(names => names.split(' ')),
  )
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
  t.throws(() => dice.create(optionsFrom(dice, { kind: 'dice', value: 2 }), contextOf(), nothingBefore), {
    code: 'ERR_DEFINITION',
    message: /"value" from 1 to 1 for 2 classes, found 2/,
  })
  for (const surface of [{ percentile: 0 }, { percentile: 101 }, { tolerancesMm: [] }, { tolerancesMm: [-1] }])
    t.throws(() => optionsFrom(dice, { kind: 'dice', surface }), /surface/)
  for (const lesions of [{ minVoxels: 0 }, { minMm3: 0 }, { iou: 0 }, { iou: 1.1 }, { minimum: 3 }, 3])
    t.throws(() => optionsFrom(dice, { kind: 'dice', lesions }), /lesions/)
})

t.test('a mask that lies turned upon its reference is refused, whatever its shape', async t => {
  const label = mask([0, 0, 0, 1])
  const turned = residentVolume(
    { shape: label.grid.shape, affine: [-2, 0, 0, 6, 0, 0, 5, 0, 0, -10, 0, 0, 0, 0, 0, 1] },
    Float32Array.from([1, 0, 0, 0]),
  )
  await t.rejects(runStage(dice, { kind: 'dice' }, [sampleWith({ prediction: turned, label })]), {
    code: 'ERR_GEOMETRY',
    message: /corners up to 6 mm apart.*"regrid": true.*"keys": \["image"\]/,
  })
})

async function scoresOf(samples: readonly Sample[], json: object): Promise<Score[]> {
  return (await runStage(dice, { kind: 'dice', ...json }, samples)) as unknown as Score[]
}

t.test("figures by MONAI's rule are there whatever rule was chosen, where the rule matters", async t => {
  const invented = sampleWith({ prediction: column(0, 1, 1, 1), label: column(0, 0, 0, 0) })
  const [strict] = await scoresOf([invented], {})
  const [monai] = await scoresOf([invented], { emptyRule: 'monai' })
  t.match(strict!.metrics, {
    dice: 0,
    differencePercent: 100,
    hd: Math.hypot(2, 40, 5),
    lesionSensitivity: 0,
    lesionPrecision: 0,
    lesionF1: 0,
    falsePositiveMl: strict!.metrics['predictedMl']!,
  })
  t.notOk(Object.entries(strict!.metrics).some(([, value]) => value === null || !Number.isFinite(value)))
  t.same(strict!.monai, monai!.monai)
  t.match(monai!.metrics, monai!.monai!)
  t.same(monai!.strict, strict!.strict)
  t.match(strict!.metrics, strict!.strict!)
  t.same(Object.keys(monai!.strict!), Object.keys(monai!.monai!))
  t.same(monai!.monai, {
    dice: null,
    iou: null,
    sensitivity: null,
    precision: 0,
    differencePercent: null,
    absoluteDifferencePercent: null,
    hd: Infinity,
    hd95: null,
    assd: Infinity,
    nsd_1mm: 0,
    nsd_3mm: 0,
    lesionSensitivity: null,
    lesionPrecision: 0,
    lesionF1: null,
    lesionSensitivityIou: null,
    lesionPrecisionIou: 0,
    lesionF1Iou: null,
  })
  const [classes] = await scoresOf([invented], { classes: 3, surface: false, lesions: false })
  t.same(
    Object.keys(classes!.monai!).filter(name => !name.endsWith('_class2')),
    ['dice', ...['dice', 'iou', 'sensitivity', 'precision'].map(name => `${name}_class1`)].concat(
      ['differencePercent', 'absoluteDifferencePercent'].map(name => `${name}_class1`),
    ),
  )
})

t.test('lesions are matched by class, and what is too small is none, by voxels or by mm3', async t => {
  const [prediction, label] = [column(1, 1, 1, 0, 0, 1, 0), column(0, 1, 1, 0, 0, 0, 0)]
  const found = async (lesions: object): Promise<unknown> => {
    const metrics = await scoreOf(prediction, label, { lesions })
    return ['lesions', 'predictedLesions', 'lesionSensitivity', 'lesionPrecision', 'lesionPrecisionIou'].map(
      name => metrics[name],
    )
  }
  t.same(await found({}), [0, 1, 0, 0, 0], 'of three voxels at least')
  t.same(await found({ minVoxels: 2 }), [1, 1, 1, 1, 1])
  t.same(await found({ minVoxels: 1 }), [1, 2, 1, 0.5, 0.5])
  t.same(await found({ minVoxels: 1, iou: 0.7 }), [1, 2, 1, 0.5, 0])
  // 100 mm3 a voxel.
  t.same(await found({ minVoxels: 1, minMm3: 200 }), [1, 1, 1, 1, 1])
  t.same(await found({ minVoxels: 3, minMm3: 100 }), [0, 1, 0, 0, 0], 'the larger of both holds')
  t.notOk('lesions' in (await scoreOf(prediction, label, { lesions: false })))
  t.match(await scoreOf(column(1, 1, 1, 2), column(1, 1, 1, 0), { classes: 3 }), {
    lesions_class1: 1,
    lesionF1_class1: 1,
    lesions_class2: 0,
    lesionF1_class2: 1,
    falsePositiveMl_class2: 0.1,
  })
})

/** Voxels of 1 mm along x that begin at `origin`. */
const from = (origin: number, ...values: number[]): Volume =>
  residentVolume(
    { shape: [values.length, 1, 1], affine: [1, 0, 0, origin, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] },
    Float32Array.from(values),
  )

t.test("with regrid a mask is brought to its reference's grid, without it refused with the distance", async t => {
  const [prediction, label] = [from(2, 1, 1, 0), from(0, 0, 0, 1, 1, 0, 0, 0)]
  await t.rejects(scoresOf([sampleWith({ prediction, label })], {}), {
    code: 'ERR_GEOMETRY',
    message: /3 x 1 x 1 voxels, the reference 7 x 1 x 1, with corners up to 2 mm apart.*"regrid": true/,
  })
  const [found] = await scoresOf([sampleWith({ prediction, label })], { regrid: true })
  t.match(found!.metrics, { dice: 1, predictedVoxels: 2, hd: 0 })
  // The border of a mask that ends in a lesion is not repeated beyond it.
  const [border] = await scoresOf([sampleWith({ prediction: from(2, 1, 1), label })], { regrid: true })
  t.match(border!.metrics, { dice: 1, predictedVoxels: 2 })
  await t.rejects(scoresOf([sampleWith({ prediction: from(2, 1, 7), label })], { regrid: true }), { code: 'ERR_LABEL' })
})

const through = async (prediction: Prediction): Promise<Score> => {
  const transform = dice.create(optionsFrom(dice, { kind: 'dice' }), contextOf(), nothingBefore)
  return (await transform(highland<Item>([prediction])).toPromise(Promise)) as Score
}

t.test('a mask that the network made is compared as it is, its stray classes are refused', async t => {
  const label = column(0, 1, 1, 0)
  const predicted = (...values: number[]): Prediction => ({
    case: { id: 'a', index: 0 },
    grid: label.grid,
    mask: maskOf(label.grid.shape, Uint8Array.from(values)),
    classes: 3,
    label,
    windows: 1,
    seconds: 0,
    files: [],
  })
  t.match((await through(predicted(0, 1, 0, 0))).metrics, { dice: 2 / 3 })
  await t.rejects(through(predicted(0, 2, 0, 0)), { code: 'ERR_LABEL', message: /the mask holds the value 2/ })
})

t.test('a missing mask is told, and what a page shows of a case is read until the next pass', async t => {
  const sample = sampleWith({ prediction: column(0, 0, 0), label: column(0, 1, 1) }, { isMissing: true })
  const ended: (() => void)[] = []
  const context = contextOf({ atEnd: work => void ended.push(work) })
  const transform = dice.create(optionsFrom(dice, { kind: 'dice' }), context, nothingBefore)
  const pass = async (): Promise<Score> => (await transform(highland<Item>([sample])).toPromise(Promise)) as Score
  const first = await pass()
  t.match(first, { isMissing: true, metrics: { dice: 0 } })
  t.notOk('isMissing' in (await scoresOf([sampleWith({ prediction: column(0), label: column(0) })], {}))[0]!)
  const { grid, planes } = await first.slices!.read()
  t.same(grid, sample.label!.grid)
  t.same(
    planes.map(({ z, prediction, reference }) => [
      z,
      ...[prediction, reference].map(runs => [...paint(runs, new Uint8Array(3))]),
    ]),
    [[0, [0, 0, 0], [0, 1, 1]]],
  )
  const second = await pass()
  await t.rejects(first.slices!.read(), /next pass/)
  t.equal((await second.slices!.read()).planes.length, 1)
  for (const end of ended) end()
  await t.rejects(second.slices!.read(), /next pass/)
})

t.test('so many cases at a time as are asked for and as memory has room for, in their order', async t => {
  const most = async (parallel: number, limitBytes: number): Promise<number> => {
    let [atWork, highest] = [0, 0]
    const slow = (volume: Volume): Volume => ({
      grid: volume.grid,
      async *slabs() {
        highest = Math.max(highest, ++atWork)
        await new Promise(resolve => setTimeout(resolve, 5))
        yield* volume.slabs()
        atWork--
      },
    })
    const samples = Array.from({ length: 6 }, (_, index) => ({
      ...sampleWith({ prediction: slow(column(0, 1)), label: column(0, 1) }, { id: `${index}`, index }),
      need: async () => ({ bytes: 100, later: 100 }),
    }))
    const context = contextOf({ ledger: openLedger(limitBytes) })
    const transform = dice.create(optionsFrom(dice, { kind: 'dice', parallel }), context, nothingBefore)
    const scores = (await transform(highland<Item>(samples)).collect().toPromise(Promise)) as unknown as Score[]
    t.same(
      scores.map(({ case: { index } }) => index),
      [0, 1, 2, 3, 4, 5],
    )
    return highest
  }
  t.equal(await most(3, 1000), 3)
  t.equal(await most(3, 250), 2, 'each claims 100 bytes')
  t.equal(await most(1, 1000), 1)
})

t.test('the names of its figures are known before there is a case', async t => {
  const sample = sampleWith({ prediction: column(0, 1, 1, 1), label: column(0, 0, 0, 0) })
  for (const json of [
    {},
    { surface: false },
    { lesions: false },
    { surface: true, lesions: true },
    { surface: { tolerancesMm: [0.5], percentile: 99.5 } },
    { classes: 4 },
    { classes: 4, value: 2, emptyRule: 'monai' },
  ]) {
    const [score] = await scoresOf([sample], json)
    const { metrics, byRule } = scoreNames(optionsFrom(dice, { kind: 'dice', ...json }))
    t.same(metrics, Object.keys(score!.metrics), JSON.stringify(json))
    t.same(byRule, Object.keys(score!.monai!))
  }
})
