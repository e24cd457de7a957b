import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { importMmar } from '../../../interop/mmar/import.ts'
import { loadDefinition } from '../../../pipeline/definition.ts'
import { createProgress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import { phantomDataSet } from '../../../stages/index.ts'
import { checkpointReader, find, writeMmar, type Loose, type MmarFiles } from '../../support/mmar.ts'
import { skip } from '../../support/kernels.ts'

/** The published MMAR with a network, windows and a spacing for phantoms of 48 x 40 x 16 voxels. */
function small(list: string): (files: MmarFiles) => void {
  return files => {
    const config = files['config/config_train.json']
    Object.assign(config, { roi_x: 32, roi_y: 32, roi_z: 8, epochs: 1, num_interval_per_valid: 1, learning_rate: 1e-3 })
    Object.assign(config.train.model.args, { blocks_down: [1, 1], blocks_up: [1] })
    config.train.dataloader.args.batch_size = 1
    const evaluations = [files['config/config_validation.json'], files['config/config_inference.json']]
    for (const transforms of [config.train.pre_transforms, ...evaluations.map((file: Loose) => file.pre_transforms)])
      find(transforms, 'Spacingd').args.pixdim = [7, 7, 14]
    for (const file of evaluations) file.inferer.args.roi_size = [32, 32, 8]
    Object.assign(files['config/environment.json'], { DATASET_JSON: list, DATA_ROOT: dirname(list) })
    files['models/model.pt'] = null
  }
}

t.test('an imported MMAR trains, writes masks and scores them', { skip }, async t => {
  const folder = join(t.testdir({}), 'phantoms')
  const { list } = await phantomDataSet({
    training: 2,
    validation: 1,
    testing: 1,
    seed: 3,
    shape: [48, 40, 16],
    folder,
  })
  const dir = writeMmar(join(t.testdirName, 'lesions'), small(list))
  const out = join(t.testdirName, 'out')
  const { complete } = await importMmar(dir, { out, readCheckpoint: checkpointReader() })
  t.equal(complete, true)
  for (const task of ['train', 'infer', 'evaluate']) {
    const { status, error, cases } = await run(loadDefinition(join(out, `${task}.json`)), {
      progress: createProgress('none'),
    })
    t.same([status, error, cases.failed], ['ok', undefined, 0], task)
  }
  t.ok(existsSync(join(out, 'runs/train/best.safetensors')))
  t.ok(existsSync(join(out, 'runs/infer/masks')))
  t.ok(existsSync(join(out, 'runs/evaluate/masks')), 'the saver of the validation writes masks too')
})
