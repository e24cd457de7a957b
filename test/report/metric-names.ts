import t from 'tap'
import { metricFacts } from '../../report/metric-names.ts'

t.test('every metric that an evaluation gives has a label and a way that is good', async t => {
  const names =
    'dice iou sensitivity precision predictedVoxels referenceVoxels predictedMl referenceMl differenceMl absoluteDifferenceMl differencePercent absoluteDifferencePercent hd hd95 assd nsd_1mm nsd_3mm lesions predictedLesions lesionSensitivity lesionPrecision lesionF1 lesionSensitivityIou lesionPrecisionIou lesionF1Iou falsePositiveMl'.split(
      ' ',
    )
  const facts = metricFacts(names)
  t.same(Object.keys(facts).toSorted(), names.toSorted())
  t.equal(Object.keys(facts)[0], 'dice')
  t.equal(new Set(Object.values(facts).map(({ label }) => label)).size, names.length)
  t.same(
    names.filter(name => facts[name]!.better === 'neither'),
    ['predictedVoxels', 'referenceVoxels', 'predictedMl', 'referenceMl', 'lesions', 'predictedLesions'],
  )
  t.same(facts['differencePercent'], { label: 'Relative volume difference', unit: '%', better: 'nearer-zero' })
  t.match(facts, { hd95: { unit: 'mm', better: 'lower' }, nsd_1mm: { unit: '', better: 'higher' } })
})

t.test('numbers in names are read, and order what differs in them alone', async t => {
  const facts = metricFacts(['nsd_10mm', 'nsd_0.5mm', 'nsd_2mm', 'hd99.5', 'hd95', 'hd'])
  t.same(Object.keys(facts), ['hd', 'hd95', 'hd99.5', 'nsd_0.5mm', 'nsd_2mm', 'nsd_10mm'])
  t.equal(facts['nsd_0.5mm']!.label, 'Surface Dice at 0.5 mm')
  t.equal(facts['hd99.5']!.label, 'Hausdorff distance, percentile 99.5')
})

t.test('class by class, after the mean of the classes', async t => {
  const facts = metricFacts(['iou_class10', 'dice_class10', 'dice_class2', 'iou_class2', 'dice'])
  t.same(Object.keys(facts), ['dice', 'dice_class2', 'iou_class2', 'dice_class10', 'iou_class10'])
  t.equal(facts['dice']!.label, 'Dice, mean of the classes')
  t.same(facts['iou_class10'], { label: 'Intersection over union, class 10', unit: '', better: 'higher' })
})

t.test('names that nobody knows come last, with what can be read out of them', async t => {
  const facts = metricFacts(['meanDepthMm', 'constructor', 'hdx', 'dice'])
  t.same(Object.keys(facts), ['dice', 'meanDepthMm', 'constructor', 'hdx'])
  t.same(facts['meanDepthMm'], { label: 'Mean depth mm', unit: 'mm', better: 'neither' })
})
