import t from 'tap'
import {
  changeText,
  dateText,
  figureText,
  fixed,
  intervalText,
  probabilityText,
  secondsText,
} from '../../../report/page/format.ts'
import { bareReport } from '../../support/report.ts'

const report = bareReport(3)

t.test('figures that are not finite or not defined have marks of their own', t => {
  t.equal(fixed(null, 2), '–')
  t.equal(fixed(NaN, 2), '–')
  t.equal(fixed(Infinity, 2), '∞')
  t.equal(fixed(-Infinity, 2), '−∞')
  t.equal(figureText(report, 'hd95', 'inf'), '∞')
  t.equal(figureText(report, 'hd95', null), '–')
  t.equal(figureText(report, 'hd95', undefined), '–')
  t.equal(intervalText(report, 'dice', { low: null, high: 1 }), '')
  t.end()
})

t.test('digits follow the unit; there is no negative zero; thousands stand apart', t => {
  t.equal(figureText(report, 'dice', 0.71096), '0.711')
  t.equal(figureText(report, 'hd95', 12.345), '12.35')
  t.equal(figureText(report, 'differenceMl', -0.04), '−0.040')
  t.equal(figureText(report, 'predictedMl', 0.0205), '0.021')
  t.equal(figureText(report, 'predictedMl', 0.0004), '0.0004')
  t.equal(figureText(report, 'predictedMl', 0), '0.0')
  t.equal(figureText(report, 'differenceMl', -1234.56), '−1\u202f234.6')
  t.equal(figureText(report, 'predictedVoxels', 1234567), '1\u202f234\u202f567')
  t.equal(figureText(report, 'lesions', 3), '3')
  t.equal(figureText(report, 'lesionSensitivity', 1), '1.000')
  t.equal(fixed(1e21, 0), '1e+21')
  t.end()
})

t.test('changes carry their sign, and likelihood is never 0', t => {
  t.equal(changeText(report, 'dice', 0.0213), '+0.021')
  t.equal(changeText(report, 'dice', -0.0213), '−0.021')
  t.equal(changeText(report, 'dice', 0.00001), '0.000')
  t.match(probabilityText(0), /< 0\.001|<\u00a00\.001/)
  t.equal(probabilityText(null), 'p not defined')
  t.end()
})

t.test('times are UTC', t => {
  t.equal(dateText('2026-11-29T23:36:09+02:00'), '2026-11-29 21:36 UTC')
  t.equal(dateText('yesterday'), 'yesterday')
  t.equal(secondsText(7500), '2 h 5 min')
  t.end()
})
