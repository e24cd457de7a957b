import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkFiles, definitionSchema, loadDefinition, validateDefinition } from '../../pipeline/definition.ts'
import { stages } from '../../stages/index.ts'
import { projectRoot as root } from '../support/shared.ts'

const pipelines = join(root, 'fixtures/pipelines')
const train = join(pipelines, 'train.json')

t.test('every pipeline of the fixtures is valid', async t => {
  for (const file of readdirSync(pipelines)) t.doesNotThrow(() => loadDefinition(join(pipelines, file)), file)
})

t.test('every example of every stage is valid where it stands in a pipeline', async t => {
  const whole = JSON.parse(readFileSync(train, 'utf8'))
  for (const { schema } of stages) {
    const kind = schema.properties.kind.const
    t.ok(schema.examples.length > 0, `${kind} has an example`)
    for (const example of schema.examples) {
      const definition = structuredClone(whole)
      const at = definition.stages.findIndex((stage: { kind: string }) => stage.kind === kind)
      // Stages that this pipeline lacks are judged by the schema alone: only the order may be wrong then.
      definition.stages.splice(at < 0 ? definition.stages.length : at, at < 0 ? 0 : 1, example)
      try {
        validateDefinition(definition, '/')
        t.pass(kind)
      } catch (error) {
        const problems = (error as { facts: { problems: { path: string; message: string }[] } }).facts.problems
        t.ok(
          problems.every(({ message }) => /expects|must end with|divisible|weights|quarter turns/.test(message)),
          `${kind}: ${JSON.stringify(problems)}`,
        )
      }
    }
  }
})

t.test('the checked-in schema is the one that the stages make', async t => {
  t.same(
    JSON.parse(readFileSync(join(root, 'schemas/pipeline.schema.json'), 'utf8')),
    JSON.parse(JSON.stringify(definitionSchema())),
  )
})

t.test('defaults are filled in and paths are relative to the file', async t => {
  const definition = loadDefinition(train)
  t.equal(definition.onError, 'continue')
  t.equal(definition.engine.backend, 'auto')
  t.equal(definition.output, join(root, 'runs/train'))
  t.match(definition.stages.at(-1), { optimizer: { beta2: 0.999 }, validate: { blend: 'constant' } })
})

t.test('a mistake is refused with its path, its line, what was expected and the nearest name', async t => {
  for (const [set, message] of [
    ['healthCheck=https://[bad', /\/healthCheck.*: expected a URL .*cannot be read$/],
    ['healthCheck=https://me:word@hc.example/x', /\/healthCheck.*: expected a URL without user name and password/],
    ['epochs=3', /\/epochs .*unknown field "epochs"; expected one of: .*task/],
    ['stages.train.epocs=3', /\/stages\/11\/epocs \(line \d+\): unknown field "epocs"; did you mean "epochs"\?/],
    ['stages.train.loss.squardPred=true', /\/stages\/11\/loss\/squardPred .*did you mean "squaredPred"\?/],
    ['stages.0.kind=lode', /\/stages\/0\/kind .*unknown kind "lode"; did you mean "load"\?/],
    ['task=inferr', /\/task .*found "inferr"; did you mean "infer"\?/],
    ['memory=lots', /\/memory .*expected .*4GiB.* found "lots"/],
    ['seed=-1', /\/seed .*>= 0, found -1/],
    ['stages.resample.spacing=[1,2]', /\/stages\/3\/spacing .*at least 3 elements, found \[1,2\]/],
    ['stages.train.optimizer.kind=sgd', /\/optimizer\/kind .*"sgd"/],
    ['network.kind=unet', /\/network\/kind .*segresnet/],
    ['network.initFilters=12', /\/network .*groups/],
    ['dataset.list=x.json', /\/dataset .*exactly one of list, directory, files, phantoms; found list and phantoms/],
    ['stages.crop.size=[64,64,15]', /\/stages\/8\/size .*divisible by 8 .*found 15/],
    ['stages.crop.size=[64,32,16]', /rotate90.*64 x 32/],
    ['stages.batch=null', /\/stages\/10 .*expected object, found null/],
  ] as const) {
    t.throws(() => loadDefinition(train, [set]), { code: 'ERR_DEFINITION', message }, set)
  }
})

t.test('a crop around nothing is refused, with the stage told once', async t => {
  t.throws(() => loadDefinition(train, ['stages.crop.positive=0', 'stages.crop.negative=0']), {
    code: 'ERR_DEFINITION',
    message: /\/stages\/8 \(line \d+\): crop: positive and negative are both 0; expected one of them above/,
  })
})

t.test('several mistakes are told at once', async t => {
  t.throws(() => loadDefinition(train, ['seed=-1', 'task=tran', 'outptu=1']), {
    message: /\/seed[^]*\/task[^]*\/outptu|\/outptu[^]*\/task[^]*\/seed|\/outptu[^]*\/seed[^]*\/task/,
  })
})

t.test('stages in an order that makes no sense are refused with the cure', async t => {
  const whole = JSON.parse(readFileSync(train, 'utf8'))
  const without = (kind: string): object => ({
    ...whole,
    stages: whole.stages.filter((stage: { kind: string }) => stage.kind !== kind),
  })
  t.throws(() => validateDefinition(without('batch'), '/'), {
    message: /"train" expects batches, but "augment" gives patches; put "batch" before "train"/,
  })
  t.throws(() => validateDefinition(without('crop'), '/'), {
    message: /"augment" expects patches, but "cache" gives volumes; put "crop"/,
  })
  t.throws(() => validateDefinition(without('load'), '/'), {
    message: /\/stages\/0.*expects volumes, but the start of the pipeline gives cases/,
  })
  const twice = whole.stages.flatMap((stage: { kind: string }) => (stage.kind === 'cache' ? [stage, stage] : [stage]))
  t.throws(() => validateDefinition({ ...whole, stages: twice }, '/'), {
    message: /\/stages\/8: expected one "cache", found a second one/,
  })
  t.throws(() => validateDefinition(without('train'), '/'), {
    message: /must end with training steps \(stage "train"\), this one ends with batches/,
  })
  t.throws(() => validateDefinition({ ...whole, task: 'infer' }, '/'), {
    message: /a pipeline that is to infer must end with predictions/,
  })
})

t.test('a cache in front of what it does not keep is refused', async t => {
  const whole = JSON.parse(readFileSync(join(pipelines, 'infer.json'), 'utf8'))
  const [load, ...others] = whole.stages.slice(0, -2)
  const [infer] = whole.stages.slice(-2)
  const judged = (dataset: object, save: object, keys?: readonly string[], cached = true): object =>
    validateDefinition(
      {
        ...whole,
        dataset,
        stages: [
          keys ? { ...load, keys } : { kind: 'load' },
          ...others,
          ...(cached ? [{ kind: 'cache', policy: 'disk' }] : []),
          infer,
          { kind: 'save', ...save },
        ],
      },
      '/',
    )
  const [scans, list] = [{ directory: 'scans' }, { list: 'list.json' }]
  for (const [dataset, save, keys, message] of [
    [scans, { preview: true }, undefined, /\/stages\/5: .*"preview".*leave "cache" out/],
    [scans, { dicomSeg: true }, ['image'], /\/stages\/5: .*"dicomSeg"/],
    [{ ...scans, lungs: 'lungs' }, {}, undefined, /\/stages\/5: .*lungs.*of the data set/],
    [list, {}, undefined, /\/stages\/5: .*lungs/],
    [list, {}, ['image', 'lungs'], /\/stages\/5: .*lungs/],
  ] as const) {
    t.throws(() => judged(dataset, save, keys), { code: 'ERR_DEFINITION', message }, String(message))
    t.doesNotThrow(() => judged(dataset, save, keys, false))
  }
  t.doesNotThrow(() => judged(scans, {}))
  t.doesNotThrow(() => judged(list, {}, ['image']))
  t.throws(() => judged({ ...scans, lungs: 'lungs' }, {}, ['image'], false), { message: /\/stages\/0\/keys.*"lungs"/ })
})

t.test('an inference whose masks nobody keeps is refused', async t => {
  const whole = JSON.parse(readFileSync(join(pipelines, 'infer.json'), 'utf8'))
  const stages = whole.stages.filter(({ kind }: { kind: string }) => kind !== 'save')
  t.throws(() => validateDefinition({ ...whole, stages }, '/'), { message: /\/stages: .*"save"/ })
  const kept = stages.map((stage: object) => ('window' in stage ? { ...stage, probabilities: 'p' } : stage))
  t.doesNotThrow(() => validateDefinition({ ...whole, stages: kept }, '/'))
})

t.test('a network of more blocks than memory could name is refused', async t => {
  const whole = JSON.parse(readFileSync(train, 'utf8'))
  const network = { kind: 'segresnet', blocksDown: [1, 1e9], blocksUp: [1] }
  t.throws(() => validateDefinition({ ...whole, network }, '/'), {
    code: 'ERR_DEFINITION',
    message: /\/network\/blocksDown\/1/,
  })
})

t.test('files that are not definitions', async t => {
  const dir = t.testdir({
    'empty.json': '',
    'broken.json': '{\n "task": "train",,\n}',
    'list.json': '[1]',
    'bom.json': `\uFEFF${readFileSync(train, 'utf8')}`,
  })
  t.throws(() => loadDefinition(join(dir, 'none.json')), {
    code: 'ERR_DEFINITION',
    message: /none.json: .*there is no such file/,
  })
  t.throws(() => loadDefinition(dir), { code: 'ERR_DEFINITION', message: /it is a folder/ })
  t.throws(() => loadDefinition(join(dir, 'empty.json')), { code: 'ERR_DEFINITION', message: /not valid JSON/ })
  t.throws(() => loadDefinition(join(dir, 'broken.json')), {
    code: 'ERR_DEFINITION',
    message: /broken.json:2:\d+: not valid JSON/,
  })
  t.throws(() => loadDefinition(join(dir, 'list.json')), {
    code: 'ERR_DEFINITION',
    message: /expected object, found \[1\]/,
  })
  t.doesNotThrow(() => loadDefinition(join(dir, 'bom.json')))
})

t.test('what a definition names must be there, and be a file or a folder as expected', async t => {
  const dir = t.testdir({ 'a.json': '{}', folder: {} })
  const definition = validateDefinition(JSON.parse(readFileSync(train, 'utf8')), 'train.json')
  const check = (dataset: object, weights = join(dir, 'a.json')): void =>
    checkFiles({ ...definition, dataset, network: { ...definition.network!, weights } })
  const file = join(dir, 'a.json')
  const folder = join(dir, 'folder')
  t.doesNotThrow(() => check({ list: file, root: folder, predictions: folder }))
  t.doesNotThrow(() => check({ directory: folder }))
  for (const [dataset, message] of [
    [{ list: folder }, /\/dataset\/list: .*folder: expected a file, found a folder/],
    [{ list: file, root: file }, /\/dataset\/root: .*a.json: expected a folder, found a file/],
    [{ directory: file }, /\/dataset\/directory: .*a.json: expected a folder, found a file/],
    [{ list: file, predictions: file }, /\/dataset\/predictions: .*a.json: expected a folder, found a file/],
    [{ list: join(dir, 'none') }, /\/dataset\/list: .*none: there is no such file or folder/],
    [{ list: folder, root: join(dir, 'none') }, /root: .*no such(.|\n)*list: .*expected a file/],
  ] as const)
    t.throws(() => check(dataset), { code: 'ERR_DEFINITION', message }, JSON.stringify(dataset))
  t.throws(() => check({ list: file }, '/dev/null'), {
    message: /\/network\/weights: .*expected a file, found a device/,
  })
})

t.test('a page takes twenty cases in its viewer, and no more', t => {
  const definition = JSON.parse(readFileSync(join(pipelines, 'evaluate.json'), 'utf8'))
  const withViewer = (count: number): object => ({
    ...definition,
    report: { viewer: Array.from({ length: count }, (_, i) => `case-${i}`) },
  })
  t.doesNotThrow(() => validateDefinition(withViewer(20), pipelines))
  t.throws(() => validateDefinition(withViewer(21), pipelines), { message: /\/report\/viewer: .*20/ })
  t.end()
})
