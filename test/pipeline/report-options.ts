import { join } from 'node:path'
import t from 'tap'
import { checkFiles, loadDefinition } from '../../pipeline/definition.ts'
import { evaluationIn } from '../support/evaluations.ts'

t.test('what a report cannot be made with is refused, with its place', async t => {
  const dir = t.testdir({ 'other.json': '{"format": "other"}' })
  const file = await evaluationIn(dir)
  for (const [sets, said] of [
    [['report.compareWith=other.json'], /\/report\/compareWith: .*other\.json: expected .*report/],
    [['report.compareWith=nowhere.json'], /there is no such file/],
    [['report.history=labels'], /\/report\/history: .*expected a file, found a folder/],
    [['gates={"dice.mean.drop": "<= 0.1"}', 'report.compareWith=none'], /needs an earlier report/],
    [['gates={"dcie.mean": ">= 0.7"}'], /\/gates.*: gate "dcie.mean": there is no metric "dcie"; did you mean "dice"/],
    [['gates={"hd.mean": "<= 9"}', 'stages.1.surface=false'], /there is no metric "hd"/],
    [['gates={"iou.mean": ">= 0.7"}', 'stages.1.classes=3'], /there is no metric "iou"/],
    [['gates={"monai.referenceMl.mean": "> 0"}'], /there is no metric "referenceMl" by MONAI's rule/],
    [['report.bootstrap=20001'], /bootstrap/],
    [['report.volumesMl=[1, 1.5, 0.5]'], /volumesMl\/2.*ascending/],
    [['task=infer', 'gates={"dice.mean": "> 0"}'], /gates are for/],
  ] as const) {
    t.throws(() => checkFiles(loadDefinition(file, sets)), { code: 'ERR_DEFINITION', message: said }, sets.join(' '))
  }
  for (const figure of ['hd95.mean', 'strict.nsd_3mm.low', 'monai.lesionF1Iou.mean.drop', 'cases.failed'])
    t.same(loadDefinition(file, [`gates={"${figure}": "<= 1"}`]).gates, { [figure]: '<= 1' })
  for (const word of ['previous', 'passed'])
    t.equal(loadDefinition(file, [`report.compareWith=${word}`]).report.compareWith, word, 'no path')
  const { report } = loadDefinition(file, ['report.compareWith=latest', 'report.history=h.jsonl'])
  t.match(report, { compareWith: join(dir, 'latest'), history: join(dir, 'h.jsonl') }, 'relative to the definition')
})
