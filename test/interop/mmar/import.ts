import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { importMmar, type MmarOptions, type MmarReport } from '../../../interop/mmar/import.ts'
import { readSafetensors } from '../../../model/safetensors.ts'
import { publishedSegresnet } from '../../../model/segresnet.ts'
import { loadDefinition, type Definition } from '../../../pipeline/definition.ts'
import { classTable } from '../../../stages/map-label.ts'
import { checkpointReader, find, writeMmar, type Loose, type MmarFiles } from '../../support/mmar.ts'
import { projectRoot } from '../../support/shared.ts'

type Edit = (files: MmarFiles) => void

const environment: Edit = files => Object.assign(files['config/environment.json'], { epochs: 5 })

const validationOnly: Edit = files => {
  files['config/config_train.json'] = null
  files['config/config_inference.json'] = null
}

const secretCheckpoint: Edit = files => (files['config/environment.json'].MMAR_CKPT = '../../secret.pt')

/** Makes an MMAR, imports it, and gives the report with the definitions, each as `run-pipeline` would load it. */
async function imported(t: Test, edit: Edit = () => {}, options: Partial<MmarOptions> = {}): Promise<Imported> {
  const dir = writeMmar(join(t.testdir({}), 'lesions'), edit)
  const out = join(t.testdirName, 'out')
  const report = await importMmar(dir, { out, readCheckpoint: checkpointReader(), ...options })
  const load = (name: string): Definition | undefined =>
    report.files.includes(name) ? loadDefinition(join(out, name)) : undefined
  return { report, out, train: load('train.json'), infer: load('infer.json'), evaluate: load('evaluate.json') }
}

interface Imported {
  readonly report: MmarReport
  readonly out: string
  readonly train: Definition | undefined
  readonly infer: Definition | undefined
  readonly evaluate: Definition | undefined
}

const trainOf = (files: MmarFiles): Loose => files['config/config_train.json']
const refusedOf = ({ lines }: MmarReport): string[] =>
  lines.filter(({ outcome }) => outcome === 'refused').map(({ pointer, what, text }) => `${pointer} ${what}: ${text}`)
const stage = (definition: Definition | undefined, kind: string): Loose =>
  definition?.stages.find(found => found.kind === kind)

/** The stages with the classes of map-label as a table, so that "divide" and "map" can be compared. */
function meaning(definition: Definition): unknown[] {
  return definition.stages.map(options =>
    options.kind === 'map-label' ? { kind: 'map-label', table: [...classTable(options as never)] } : options,
  )
}

t.test('the published MMAR means what the published definition says, with the values of its configuration', async t => {
  const { report, train } = await imported(t)
  const expected = loadDefinition(join(projectRoot, 'fixtures/pipelines/clara-covid19-lesion.json'), [
    'stages.train.epochs=1260',
    'stages.train.optimizer.learningRate=1e-4',
    'stages.train.validate.every=20',
  ])
  t.same(meaning(train!), meaning(expected))
  t.same(train!.network, expected.network)
  t.equal(train!.seed, expected.seed)
  t.equal(train!.task, 'train')
  t.same(refusedOf(report), [])
  t.equal(report.complete, true)
  t.same(readdirSync(report.out).toSorted(), [...report.files].toSorted())
})

t.test('a script gives the values of the model that the README describes', async t => {
  const { report, train } = await imported(t, undefined, { script: 'train_multi_gpu.sh' })
  const expected = loadDefinition(join(projectRoot, 'fixtures/pipelines/clara-covid19-lesion.json'))
  t.same(meaning(train!), meaning(expected), 'epochs 2000, learning rate 0.001, validated every 10')
  t.match(
    report.lines.find(({ file }) => file === 'commands/train_multi_gpu.sh'),
    { outcome: 'taken' },
  )
  t.ok(report.lines.some(({ what, outcome }) => what === 'multi_gpu=true' && outcome === 'replaced'))
  t.ok(report.lines.some(({ what, text }) => what === '{epochs}' && /2000, in the place of 1260/.test(text)))
})

t.test('what scripts would override is told, and nothing is taken', async t => {
  const { report } = await imported(t)
  const lines = report.lines.filter(({ file }) => file.startsWith('commands/'))
  t.same(
    lines.map(({ file, outcome }) => [file, outcome]),
    ['finetune', 'train', 'train_multi_gpu'].map(name => [`commands/${name}.sh`, 'check']),
  )
  t.match(lines[2]!.what, /epochs=2000 \(configuration: 1260\), learning_rate=0.001 \(configuration: 0.0001\)/)
  await t.rejects(imported(t, undefined, { script: 'validate.sh' }), {
    code: 'ERR_DEFINITION',
    message: /--script validate.sh: expected a script .* that trains, one of finetune.sh, train.sh, train_multi_gpu.sh/,
  })
})

t.test('the command line wins over environment.json, and that over the configuration', async t => {
  t.equal(stage((await imported(t, environment)).train, 'train').epochs, 5)
  t.equal(stage((await imported(t, environment, { set: ['epochs=7'] })).train, 'train').epochs, 7)
  t.equal(
    stage((await imported(t, environment, { set: ['epochs=7'], script: 'train_multi_gpu' })).train, 'train').epochs,
    7,
  )
  await t.rejects(imported(t, undefined, { set: ['learnin_rate=1'] }), {
    code: 'ERR_DEFINITION',
    message: /--set learnin_rate: .*did you mean "learning_rate"\?/,
  })
  await t.rejects(imported(t, undefined, { set: ['=1'] }), { code: 'ERR_DEFINITION', message: /expected name=value/ })
})

t.test("inference and validation on their own go to the scan's grid; the weights lie beside them", async t => {
  const { infer, evaluate, out, report } = await imported(t)
  t.same(
    infer!.stages.map(({ kind }) => kind),
    ['load', 'channel-first', 'resample', 'clip', 'crop-foreground', 'infer', 'save'],
  )
  t.match(stage(infer, 'infer'), {
    window: [224, 224, 32],
    overlap: 0.6,
    windowBatch: 4,
    blend: 'constant',
    invert: true,
  })
  t.same(stage(infer, 'load').keys, ['image'])
  t.same(infer!.dataset.section, 'testing')
  t.equal(infer!.network!.weights, join(out, 'model.safetensors'))
  t.same(
    evaluate!.stages.map(({ kind }) => kind),
    ['load', 'map-label', 'channel-first', 'resample', 'clip', 'crop-foreground', 'infer', 'save', 'dice'],
  )
  t.same(stage(evaluate, 'resample').keys, ['image'], 'labels stay on their own grid')
  t.match(stage(evaluate, 'dice'), { emptyRule: 'monai' })
  t.ok(report.lines.some(({ what, outcome, file }) => /amp=true/.test(what + file) || outcome === 'replaced'))
})

t.test('without configurations of their own, both come from the section "validate"', async t => {
  const { infer, evaluate, report } = await imported(t, files => {
    files['config/config_validation.json'] = null
    files['config/config_inference.json'] = null
  })
  t.same(
    infer!.stages.map(({ kind }) => kind),
    ['load', 'channel-first', 'resample', 'clip', 'crop-foreground', 'pad', 'infer', 'save'],
  )
  t.match(stage(infer, 'infer'), { invert: true, windowBatch: 2 })
  t.same(
    evaluate!.stages.map(({ kind }) => kind),
    ['load', 'map-label', 'channel-first', 'resample', 'clip', 'crop-foreground', 'pad', 'infer', 'dice'],
  )
  t.match(stage(evaluate, 'infer'), { invert: false }, 'Dice where training computes it')
  t.equal(evaluate!.dataset.section, 'validation')
  t.equal(report.complete, true)
})

t.test('a validation on its own takes its network from the checkpoint', async t => {
  const trainConf = {
    train: { model: { name: 'SegResNet', args: { blocks_down: [1, 2, 2, 4], blocks_up: [1, 1, 1] } } },
  }
  const { train, infer, evaluate, report } = await imported(t, validationOnly, {
    readCheckpoint: checkpointReader({ trainConf }),
  })
  t.equal(train, undefined)
  t.equal(infer, undefined)
  t.match(evaluate, { network: { ...publishedSegresnet }, task: 'evaluate' })
  t.ok(report.lines.some(({ file, outcome }) => file === 'infer.json' && outcome === 'check'))
  await t.rejects(imported(t, validationOnly), {
    code: 'ERR_DEFINITION',
    message: /expected the options of the network in the configuration of a training or in the checkpoint's train_conf/,
  })
})

t.test(
  'paths of the data: relative ones from the MMAR, absolute ones kept and reported where they do not exist',
  async t => {
    const { train, report } = await imported(t)
    t.equal(train!.dataset.list, join(t.testdirName, 'lesions/config/dataset_0.json'))
    t.equal(train!.dataset.root, '/workspace/data_covid')
    t.ok(
      report.lines.some(
        ({ outcome, what }) => outcome === 'check' && what === 'folder of the data /workspace/data_covid',
      ),
    )
    t.ok(report.lines.some(({ text }) => text === '7 training, 3 validation, 2 testing'))
    const here = await imported(t, undefined, { set: [`DATA_ROOT=${t.testdirName}`, 'DATASET_JSON=/none/list.json'] })
    t.equal(here.train!.dataset.root, t.testdirName)
    t.equal(here.train!.dataset.list, '/none/list.json')
    t.ok(here.report.lines.some(({ outcome, what }) => outcome === 'check' && what === 'data list /none/list.json'))
  },
)

t.test('a list whose files leave the folder of the data, or that is none, is told by its place', async t => {
  const outside = await imported(t, files => {
    files['config/dataset_0.json'].validation[1].label = '../../etc/passwd'
  })
  const line = outside.report.lines.find(({ what }) => what === '../../etc/passwd')
  t.match(line, { outcome: 'refused', pointer: '/validation/1/label', text: /leads out of the folder of the data/ })
  t.ok(outside.train, 'the definitions are written nevertheless')
  for (const [content, text] of [
    ['{"training": [', /not valid JSON/],
    ['[1]', /expected an object/],
    ['['.repeat(5000), /levels of nesting/],
  ] as const) {
    const { report, train } = await imported(t, files => (files['config/dataset_0.json'] = content))
    t.ok(
      report.lines.some(line => line.outcome === 'refused' && text.test(line.text)),
      String(text),
    )
    t.ok(train)
  }
  for (const content of ['{"training": 5}', '{"training": [], "testing": []}', '{}']) {
    const { report } = await imported(t, files => (files['config/dataset_0.json'] = content))
    const cases = report.lines.filter(({ what }) => what === 'cases of the list')
    t.ok(
      cases.length > 0 && cases.every(({ outcome, text }) => outcome === 'check' && text.startsWith('none')),
      content,
    )
  }
  const missing = await imported(t, files => (files['config/dataset_0.json'] = null))
  t.equal(missing.report.complete, true, 'a list that lies elsewhere is for the reader to provide')
  t.ok(
    missing.report.lines.some(({ what, outcome }) => what === 'data list config/dataset_0.json' && outcome === 'check'),
  )
})

t.test('without environment.json the usual names stand in, and what has none is asked for', async t => {
  const { report, train } = await imported(t, files => (files['config/environment.json'] = null))
  t.equal(train!.dataset.list, join(t.testdirName, 'lesions/config/dataset_0.json'))
  t.equal(train!.dataset.root, join(t.testdirName, 'lesions'))
  t.ok(
    refusedOf(report).every(text => /\{DATA_ROOT\}: has no value; give it one with --set DATA_ROOT=VALUE/.test(text)),
    'DATA_ROOT',
  )
  t.equal(refusedOf(report).length, 4, 'once for each place that asks')
  t.ok(report.files.includes('model.safetensors'))
})

t.test(
  'an unknown lambda is refused by name; the rest is written, and the report says that it is incomplete',
  async t => {
    const code = 'lambda x: __import__("os").system("touch /tmp/evaluated")'
    const { report, train, out } = await imported(t, files => {
      find(trainOf(files).train.pre_transforms, 'Lambdad').args.func = code
    })
    t.equal(report.complete, false)
    t.ok(refusedOf(report).some(text => text.includes(code) && text.includes('nothing is evaluated')))
    t.equal(stage(train, 'map-label'), undefined)
    t.ok(stage(train, 'train'))
    t.notOk(existsSync('/tmp/evaluated'))
    const text = readFileSync(join(out, 'import-report.txt'), 'utf8')
    t.match(text, /COULD NOT +config\/config_train.json:\d+ \/train\/pre_transforms\/1/)
    t.match(text, /INCOMPLETE/)
    t.equal(JSON.parse(readFileSync(join(out, 'import-report.json'), 'utf8')).complete, false)
  },
)

t.test('the other ways to write the same configuration give the same definition', async t => {
  const { train: expected } = await imported(t)
  const ways: Record<string, Edit> = {
    'keys as texts': files => {
      for (const transform of trainOf(files).train.pre_transforms)
        if (transform.args.keys.length === 1) transform.args.keys = transform.args.keys[0]
    },
    'names without d, with D and with Dict, and dotted paths': files => {
      const list = trainOf(files).train.pre_transforms
      list[3].name = 'Spacing'
      list[4].name = 'ScaleIntensityRangeD'
      list[5].name = 'CropForegroundDict'
      delete list[7].name
      list[7].path = 'monai.transforms.RandCropByPosNegLabeld'
      trainOf(files).validate.pre_transforms = list.filter((_: Loose, i: number) => i < 7)
    },
    'Clara 4.1: references, code, key_metric, Invertd': files => {
      const { train, validate } = trainOf(files)
      train.optimizer.args.params = '#@model.parameters()'
      train.lr_scheduler.args.optimizer = '@optimizer'
      train.dataset.args.transform = '@pre_transforms'
      train.optimizer.args.lr = '@learning_rate'
      train.handlers[4].args.output_transform = "#monai.handlers.from_engine(['loss'], first=True)"
      validate.key_metric = validate.metrics[0]
      validate.additional_metrics = validate.metrics.slice(1)
      delete validate.metrics
      train.trainer.args = { ...train.trainer.args, train_handlers: '@handlers', postprocessing: '@post_transforms' }
    },
    'MONAI 1.x: norm, to_onehot as a number': files => {
      const { model, post_transforms: post } = trainOf(files).train
      delete model.args.norm_name
      delete model.args.num_groups
      model.args.norm = ['GROUP', { num_groups: 8 }]
      find(post, 'AsDiscreted').args = { keys: ['pred', 'label'], argmax: [true, false], to_onehot: [2, 2] }
    },
    'AddChanneld, EnsureTyped': files => {
      const { train, validate } = trainOf(files)
      find(train.pre_transforms, 'EnsureChannelFirstd').name = 'AddChanneld'
      find(train.pre_transforms, 'ToTensord').name = 'EnsureTyped'
      validate.pre_transforms[2].ref = 'AddChanneld'
      validate.pre_transforms[7].ref = 'EnsureTyped'
    },
    'another spelling of the same lambda': files => {
      find(trainOf(files).train.pre_transforms, 'Lambdad').args.func =
        'lambda  label :numpy.ceil( numpy.float16(label)/3 )'
    },
  }
  for (const [name, edit] of Object.entries(ways)) {
    const { train, report } = await imported(t, edit)
    t.same(refusedOf(report), [], name)
    t.same({ ...train, description: '' }, { ...expected, description: '' }, name)
  }
})

t.test('other losses, optimisers, schedules and data sets: taken where they exist, reported where not', async t => {
  const cases: readonly (readonly [string, Edit, (definition: Definition) => unknown, unknown, RegExp | undefined])[] =
    [
      [
        'DiceLoss has no cross-entropy',
        files => (trainOf(files).train.loss = { name: 'DiceLoss', args: { to_onehot_y: true, softmax: true } }),
        d => [stage(d, 'train').loss.lambdaCe, stage(d, 'train').loss.squaredPred],
        [0, false],
        undefined,
      ],
      [
        'weights of the terms',
        files =>
          Object.assign(trainOf(files).train.loss.args, {
            lambda_dice: 2,
            lambda_ce: 0.5,
            batch: true,
            include_background: false,
          }),
        d => [
          stage(d, 'train').loss.lambdaDice,
          stage(d, 'train').loss.lambdaCe,
          stage(d, 'train').loss.batch,
          stage(d, 'train').loss.includeBackground,
        ],
        [2, 0.5, true, false],
        undefined,
      ],
      [
        'sigmoid',
        files => (trainOf(files).train.loss = { name: 'DiceLoss', args: { sigmoid: true } }),
        d => stage(d, 'train').loss.kind,
        'dice-ce',
        /sigmoid=true/,
      ],
      [
        'FocalLoss',
        files => (trainOf(files).train.loss = { name: 'FocalLoss' }),
        d => stage(d, 'train').loss.kind,
        'dice-ce',
        /FocalLoss\(\): not available here, where there is DiceCELoss, DiceLoss/,
      ],
      [
        'Novograd',
        files => (trainOf(files).train.optimizer = { name: 'Novograd', args: { lr: 0.01 } }),
        d => stage(d, 'train').optimizer,
        { kind: 'adam', learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
        /Novograd\(lr=0.01\): not available/,
      ],
      [
        'amsgrad',
        files => (trainOf(files).train.optimizer.args.amsgrad = true),
        d => stage(d, 'train').optimizer.kind,
        'adam',
        /amsgrad/,
      ],
      [
        'CosineAnnealingLR',
        files =>
          (trainOf(files).train.lr_scheduler = {
            name: 'CosineAnnealingLR',
            args: { T_max: '{epochs}', eta_min: 1e-6 },
          }),
        d => stage(d, 'train').schedule,
        { kind: 'cosine', epochs: 1260, min: 1e-6, warmup: 0 },
        undefined,
      ],
      [
        'no handler steps the schedule',
        files => trainOf(files).train.handlers.splice(1, 1),
        d => stage(d, 'train').schedule.kind,
        'constant',
        undefined,
      ],
      [
        'PersistentDataset',
        files => (
          (trainOf(files).train.dataset.name = 'PersistentDataset'),
          (trainOf(files).train.dataset.args = { cache_dir: '/tmp/x' })
        ),
        d => stage(d, 'cache').parallel,
        2,
        undefined,
      ],
      [
        'SmartCacheDataset',
        files => (
          (trainOf(files).train.dataset.name = 'SmartCacheDataset'),
          (trainOf(files).train.dataset.args = { replace_rate: 0.1, cache_num: 8 })
        ),
        d => stage(d, 'cache').kind,
        'cache',
        undefined,
      ],
      [
        'Dataset: nothing is cached',
        files => ((trainOf(files).train.dataset.name = 'Dataset'), (trainOf(files).train.dataset.args = {})),
        d => stage(d, 'cache'),
        undefined,
        undefined,
      ],
      [
        'batches of scans times crops',
        files => (
          (trainOf(files).train.dataloader.args.batch_size = 3),
          (find(trainOf(files).train.pre_transforms, 'RandCropByPosNegLabeld').args.num_samples = 4)
        ),
        d => stage(d, 'batch').size,
        12,
        undefined,
      ],
      [
        'the order is not drawn',
        files => (trainOf(files).train.dataloader.args.shuffle = false),
        d => stage(d, 'batch').size,
        8,
        /shuffle/,
      ],
      [
        'gaussian windows',
        files =>
          Object.assign(trainOf(files).validate.inferer.args, {
            mode: 'gaussian',
            sigma_scale: 0.25,
            overlap: [0.5, 0.5, 0.5],
          }),
        d => [stage(d, 'train').validate.blend, stage(d, 'train').validate.sigma, stage(d, 'train').validate.overlap],
        ['gaussian', 0.25, 0.5],
        undefined,
      ],
      [
        'windows with an overlap for each axis, as deep as the image',
        files =>
          Object.assign(trainOf(files).validate.inferer.args, { roi_size: [64, 48, -1], overlap: [0.5, 0.25, 0] }),
        d => [stage(d, 'train').validate.window, stage(d, 'train').validate.overlap],
        [
          [64, 48, 0],
          [0.5, 0.25, 0],
        ],
        undefined,
      ],
      [
        'Dice with the background',
        files => (trainOf(files).validate.metrics[0].args.include_background = true),
        d => stage(d, 'train').validate.emptyRule,
        'monai',
        /include_background/,
      ],
      [
        'no validation',
        files => ((trainOf(files).validate = undefined), trainOf(files).train.handlers.splice(2, 1)),
        d => stage(d, 'train').validate.every,
        0,
        undefined,
      ],
      ['another seed', files => (trainOf(files).determinism.random_seed = 42), d => d.seed, 42, undefined],
      [
        'dropout',
        files => (trainOf(files).train.model.args.dropout_prob = 0.2),
        d => d.network!['dropout'],
        0.2,
        undefined,
      ],
      [
        'Orientationd',
        files => {
          const axes = { name: 'Orientationd', args: { keys: ['image', 'label'], axcodes: 'RAS' } }
          trainOf(files).train.pre_transforms.splice(3, 0, axes)
          trainOf(files).validate.pre_transforms.splice(3, 0, { ref: 'Orientationd' })
        },
        d => stage(d, 'orient').axcodes,
        'RAS',
        undefined,
      ],
    ]
  for (const [name, edit, read, expected, refused] of cases) {
    const { train, report } = await imported(t, files => void edit(files))
    t.same(read(train!), expected, name)
    if (refused)
      t.ok(
        refusedOf(report).some(text => refused.test(text)),
        `${name}: ${refusedOf(report).join('; ')}`,
      )
    else t.same(refusedOf(report), [], name)
  }
})

t.test('finetune.sh starts from the imported weights', async t => {
  const { train, out } = await imported(t, undefined, { script: 'finetune.sh' })
  t.equal(train!.network!.weights, join(out, 'model.safetensors'))
  t.equal(stage(train, 'train').optimizer.learningRate, 2e-4)
  const without = await imported(t, files => (files['models/model.pt'] = null), { script: 'finetune.sh' })
  t.equal(without.train!.network!.weights, undefined)
  t.ok(refusedOf(without.report).some(text => /no weights to start from/.test(text)))
})

t.test('transforms without a stage are named, and the definition is written without them', async t => {
  const { train, report } = await imported(t, files => {
    const list = trainOf(files).train.pre_transforms
    list.push(
      { name: 'RandGaussianNoised', args: { keys: 'image', prob: 0.1 } },
      { name: 'RandFlippd', args: {} },
      { name: 'constructor' },
    )
    Object.assign(list[3].args, { diagonal: true, foo: [1] })
    list[8].args.spatial_axis = [0, 1]
  })
  t.same(stage(train, 'augment').flip, { probability: 0.1, axes: ['y', 'z'] })
  const refused = refusedOf(report)
  for (const expected of [
    /RandGaussianNoise.*no stage adds noise/,
    /RandFlippd.*did you mean RandFlip\?/,
    /constructor.*no stage does this/,
    /Spacing.*diagonal/,
    /args\/foo Spacingd.foo: \[1\] has no counterpart here/,
    /spatial_axis.*each axis is flipped on its own/,
  ])
    t.ok(
      refused.some(text => expected.test(text)),
      `${expected}`,
    )
  t.equal(refused.length, 6)
})

t.test('a definition that could not run is not written, and the others are', async t => {
  const { report, train, infer } = await imported(t, files => {
    trainOf(files).train.pre_transforms.splice(7, 1)
  })
  t.equal(train, undefined)
  t.ok(infer)
  t.ok(
    report.lines.some(
      ({ file, outcome, text }) => file === 'train.json' && outcome === 'refused' && /put "crop" before/.test(text),
    ),
    'with the cure',
  )
})

t.test('references of "validate": what they refer to must be there, and do what training does', async t => {
  const unknown = await imported(t, files => (trainOf(files).validate.pre_transforms[3].ref = 'Spacingdd'))
  t.ok(
    refusedOf(unknown.report).some(text =>
      /ref Spacingdd: the train section has no such component; did you mean "Spacingd"\?/.test(text),
    ),
  )
  const other = await imported(t, files => trainOf(files).validate.pre_transforms.splice(6, 1))
  t.ok(refusedOf(other.report).some(text => /validation runs what training does before its first draw/.test(text)))
})

t.test('the weights are recognised, stored with their network, and must fit it exactly', async t => {
  const published = await imported(t, undefined, { readCheckpoint: checkpointReader({ published: true }) })
  t.same(published.report.weights, { tensors: 83, published: true })
  t.ok(
    published.report.lines.some(({ text }) =>
      /these are the published weights of clara_pt_covid19_ct_lesion_segmentation/.test(text),
    ),
  )
  const fresh = await imported(t)
  t.same(fresh.report.weights, { tensors: 83, published: false })
  t.ok(fresh.report.lines.some(({ text }) => text.startsWith('not the published weights')))

  const { tensors, metadata } = await readSafetensors(join(fresh.out, 'model.safetensors'))
  const { tensors: given } = await checkpointReader()('')
  t.same([...tensors.keys()], [...given.keys()])
  t.ok(
    [...given].every(([name, { data }]) =>
      Buffer.from(data.buffer).equals(Buffer.from(tensors.get(name)!.data.buffer)),
    ),
  )
  t.same(JSON.parse(metadata['network']!), publishedSegresnet)
  t.equal(JSON.parse(metadata['importedFrom']!), 'lesions/models/model.pt')

  const other = { ...publishedSegresnet, blocksDown: [1, 2, 2, 2] }
  await t.rejects(imported(t, undefined, { readCheckpoint: checkpointReader({ network: other }) }), {
    code: 'ERR_WEIGHTS',
    message: /^models\/model.pt: [^]*missing \(12\): down_layers.3.3.norm1.weight/,
  })
  t.notOk(existsSync(join(t.testdirName, 'out')), 'nothing is written')
})

t.test('where the checkpoint names its own network, that is the one its weights must fit', async t => {
  const network = { ...publishedSegresnet, blocksDown: [1, 2, 2, 2] }
  const trainConf = { model: { name: 'SegResNet', args: { blocks_down: [1, 2, 2, 2], blocks_up: [1, 1, 1] } } }
  const { report, train, infer } = await imported(t, undefined, {
    readCheckpoint: checkpointReader({ network, trainConf }),
  })
  t.same(infer!.network!['blocksDown'], [1, 2, 2, 2])
  t.same(train!.network!['blocksDown'], [1, 2, 2, 4])
  t.ok(report.lines.some(({ what, outcome }) => what === 'network' && outcome === 'check'))
  const finetuned = await imported(t, undefined, {
    readCheckpoint: checkpointReader({ network, trainConf }),
    script: 'finetune.sh',
  })
  t.equal(finetuned.train!.network!.weights, undefined)
  t.ok(refusedOf(finetuned.report).some(text => /belong to another network/.test(text)))
})

t.test('without weights, infer and evaluate take those that the training will leave', async t => {
  const { report, infer, out } = await imported(t, files => (files['models/model.pt'] = null))
  t.equal(report.weights, null)
  t.equal(infer!.network!.weights, join(out, 'runs/train/best.safetensors'))
  t.notOk(existsSync(join(out, 'model.safetensors')))
})

t.test('a checkpoint that leads out of the MMAR is not followed, unless asked for', async t => {
  let read = ''
  const readCheckpoint: MmarOptions['readCheckpoint'] = path => ((read = path), checkpointReader()(path))
  const { report } = await imported(t, secretCheckpoint, { readCheckpoint })
  t.equal(read, '')
  t.ok(refusedOf(report).some(text => /MMAR_CKPT: leads out of the MMAR/.test(text)))
  const model = join(t.testdirName, 'lesions/models/model.pt')
  await imported(t, secretCheckpoint, { readCheckpoint, set: [`MMAR_CKPT=${model}`] })
  t.equal(read, model)
})

t.test('other networks are refused with what they are', async t => {
  for (const [args, message] of [
    [{ spatial_dims: 2 }, /\/train\/model: the network cannot be built here: SegResNet.spatial_dims/],
    [{ upsample_mode: 'deconv' }, /up-sampling is trilinear/],
    [{ init_filters: 12 }, /groups do not divide/],
    [{ blocks_down: [1e9] }, /whole numbers from 0 to 64/],
    [{ blocks_up: [1, 1] }, /one fewer than blocksDown/],
    [{ out_channels: 1 }, /whole number from 2 to 512, found 1/],
    [{ init_filters: 1.5 }, /found 1.5/],
    [{ norm: ['BATCH', {}] }, /expected \["GROUP"/],
    [{ attention: true }, /attention: true has no counterpart/],
  ] as const)
    await t.rejects(
      imported(t, files => void Object.assign(trainOf(files).train.model.args, args)),
      { code: 'ERR_DEFINITION', message },
      JSON.stringify(args),
    )
  await t.rejects(
    imported(t, files => void (trainOf(files).train.model.name = 'UNet')),
    { code: 'ERR_DEFINITION', message: /config_train.json:\d+ \/train\/model: .*expected a SegResNet, found "UNet"/ },
  )
})

t.test('nothing is written over what is there, unless asked to', async t => {
  const { out, report } = await imported(t)
  const dir = join(t.testdirName, 'lesions')
  const options = { out, readCheckpoint: checkpointReader() }
  await t.rejects(importMmar(dir, options), { code: 'ERR_OUTPUT', message: /found train.json, infer.json, .* --force/ })
  t.same((await importMmar(dir, { ...options, force: true, set: ['epochs=3'] })).files, report.files)
  t.equal(stage(loadDefinition(join(out, 'train.json')), 'train').epochs, 3)
})
