import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { importMmar, reportLines } from '../../../interop/mmar/import.ts'
import { checkpointReader, find, writeMmar } from '../../support/mmar.ts'
import { projectRoot } from '../../support/shared.ts'

t.test('the reports in the documentation are those that are printed', async t => {
  const text = readFileSync(join(projectRoot, 'docs/import-mmar.md'), 'utf8')
  const [, example, other] = [...text.matchAll(/^```\n(.*?)^```$/gms)].map(([, block]) => block!.trimEnd().split('\n'))
  const dir = writeMmar(join(t.testdir({}), 'clara_pt_covid19_ct_lesion_segmentation'))
  const report = await importMmar(dir, {
    out: join(t.testdirName, 'a'),
    readCheckpoint: checkpointReader({ published: true }),
  })
  const printed = reportLines(report)
  t.same(
    example!.filter(line => line !== '  ...' && !printed.includes(line)),
    [],
  )
  t.ok(example!.length > 40)
  writeMmar(dir, files => {
    find(files['config/config_train.json'].train.pre_transforms, 'Lambdad').args.func = 'lambda x: scale_labels(x)'
  })
  const changed = await importMmar(dir, { out: join(t.testdirName, 'b'), readCheckpoint: checkpointReader() })
  t.ok(
    other!.every(line => reportLines(changed).includes(line)),
    other![0]!,
  )
})
