import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { importMmar } from '../../../interop/mmar/import.ts'
import { codeOf, PipelineError } from '../../../pipeline/errors.ts'
import { checkpointReader, mmarFiles, writeMmar, type Loose, type MmarFiles } from '../../support/mmar.ts'

const options = { readCheckpoint: checkpointReader() }

const damagedCheckpoint = async (): Promise<never> => {
  throw new PipelineError('ERR_WEIGHTS', 'model.pt: damaged')
}

/** Refused with a PipelineError, and nothing written. */
async function refused(
  t: Test,
  edit: (files: MmarFiles) => void,
  expected: { code: string; message: RegExp },
  name: string,
): Promise<void> {
  const dir = writeMmar(join(t.testdir({}), 'lesions'), edit)
  await t.rejects(importMmar(dir, { ...options, out: join(t.testdirName, 'out') }), expected, name)
  t.same(readdirSync(t.testdirName), ['lesions'], `${name}: nothing is written`)
}

t.test('damaged configurations are refused with file and line', async t => {
  const train = 'config/config_train.json'
  const whole = JSON.stringify(mmarFiles()[train], null, 2)
  for (const [content, expected] of [
    ['', { code: 'ERR_FILE', message: /config\/config_train.json:1:1: not valid JSON: the file is empty/ }],
    [whole.slice(0, 900), { code: 'ERR_FILE', message: /config\/config_train.json:\d+:\d+: not valid JSON/ }],
    ['[1, 2]', { code: 'ERR_DEFINITION', message: /config_train.json:1: expected an object, found a list/ }],
    ['"text"', { code: 'ERR_DEFINITION', message: /expected an object, found string/ }],
    ['null', { code: 'ERR_DEFINITION', message: /expected an object, found null/ }],
    ['{"train": '.repeat(50_000), { code: 'ERR_FILE', message: /levels of nesting/ }],
    [`{"a": [${'"{x}",'.repeat(30_000)}1], "train": {}}`, { code: 'ERR_DEFINITION', message: /at most 20000 values/ }],
    [`{"a": [${'"{x}",'.repeat(10_000)}1]}`, { code: 'ERR_DEFINITION', message: /more than 5000 things to report/ }],
    [
      '{"a": "{b}", "b": "{a}", "train": {"model": "{a}"}}',
      { code: 'ERR_DEFINITION', message: /expand to themselves: \{b\} -> \{a\} -> \{b\}/ },
    ],
  ] as const)
    await refused(t, files => (files[train] = content), expected, content.slice(0, 40))
  await refused(
    t,
    files => (files['config/environment.json'] = '{"DATA_ROOT": }'),
    { code: 'ERR_FILE', message: /environment.json:1:15/ },
    'environment',
  )
  await refused(
    t,
    files => (files['config/config_inference.json'] = '{,}'),
    { code: 'ERR_FILE', message: /config_inference.json:1:2/ },
    'inference',
  )
})

t.test('folders that are no MMAR are refused with what to do', async t => {
  const dir = t.testdir({ empty: {}, file: '', other: { config: { 'config_train_x.json': '{}' } } })
  for (const [name, message] of [
    ['none', /expected the folder of an MMAR, found nothing there/],
    ['file', /expected the folder of an MMAR, found a file/],
    ['empty', /found no configuration there; give the folder that holds config\/, models\/ and commands\//],
    ['other', /choose one with --config: config_train_x.json/],
  ] as const)
    await t.rejects(importMmar(join(dir, name), options), { message }, name)
  await t.rejects(importMmar(join(dir, 'other'), { ...options, config: 'none.json' }), {
    code: 'ERR_FILE',
    message: /config\/none.json: there is no such file/,
  })
})

t.test('a MONAI Bundle is recognised and refused', async t => {
  const bundle = {
    code: 'ERR_DEFINITION',
    message: /found a MONAI Bundle; .*never evaluated.*import its weights alone/,
  }
  for (const mark of [
    { network_def: { _target_: 'SegResNet' } },
    { imports: ['$import os'] },
    { device: "$torch.device('cuda')" },
  ])
    await refused(
      t,
      files => (files['config/config_train.json'] = { ...files['config/config_train.json'], ...mark }),
      bundle,
      JSON.stringify(mark),
    )
  const dir = t.testdir({ configs: { 'train.json': '{}' }, models: {} })
  await t.rejects(importMmar(dir, options), bundle)
})

t.test('values of a wrong kind anywhere are reported or refused, and never break the import', async t => {
  const pointers: string[][] = []
  const walk = (value: Loose, path: string[]): void => {
    if (path.length > 0) pointers.push(path)
    if (typeof value === 'object' && value !== null)
      for (const [name, item] of Object.entries(value)) walk(item, [...path, name])
  }
  walk(mmarFiles()['config/config_train.json'], [])
  const wrong: Loose[] = [null, 7, -1e308, 'x', [], {}, [[]], true, { name: 3 }, '{epochs}', '../..', '\u001b[2J']
  let tried = 0
  const bad: string[] = []
  const dir = join(t.testdir({}), 'lesions')
  writeMmar(dir)
  // Every third place gets one of the values; which one goes round.
  for (const [i, path] of pointers.filter((_, i) => i % 3 === 0).entries()) {
    const config = mmarFiles()['config/config_train.json']
    const parent = path.slice(0, -1).reduce((value, name) => value[name], config)
    parent[path.at(-1)!] = wrong[i % wrong.length]
    writeFileSync(join(dir, 'config/config_train.json'), JSON.stringify(config))
    try {
      const { lines } = await importMmar(dir, {
        ...options,
        out: join(t.testdirName, 'out'),
        force: true,
        set: ['MMAR_CKPT=none.pt'],
      })
      // oxlint-disable-next-line no-control-regex
      if (lines.some(line => /\u001b/.test(JSON.stringify(line))))
        bad.push(`${path.join('/')}: an escape in the report`)
    } catch (error) {
      if (codeOf(error) === undefined)
        bad.push(`${path.join('/')} = ${JSON.stringify(wrong[i % wrong.length])}: ${String(error)}`)
      else if (!Array.isArray((error as PipelineError).facts['lines'])) bad.push(`${path.join('/')}: no lines`)
    }
    tried++
  }
  t.comment(`${tried} places changed`)
  t.same(bad, [])
})

t.test('files that are pipes, folders or links to devices do not hang the import', async t => {
  const dir = writeMmar(join(t.testdir({}), 'lesions'), files => (files['config/environment.json'] = null))
  symlinkSync('/dev/zero', join(dir, 'config/environment.json'))
  await t.rejects(importMmar(dir, options), { code: 'ERR_FILE', message: /environment.json: .*not an ordinary file/ })
  const other = writeMmar(join(t.testdir({}), 'lesions'), files => (files['config/config_validation.json'] = null))
  mkdirSync(join(other, 'config/config_validation.json'))
  await t.rejects(importMmar(other, options), { code: 'ERR_FILE', message: /it is a folder/ })
})

t.test('what the reader of checkpoints throws ends the import', async t => {
  const dir = writeMmar(join(t.testdir({}), 'lesions'))
  await t.rejects(importMmar(dir, { out: join(t.testdirName, 'out'), readCheckpoint: damagedCheckpoint }), {
    code: 'ERR_WEIGHTS',
    message: 'model.pt: damaged',
    facts: { lines: Array },
  })
  t.same(readdirSync(t.testdirName), ['lesions'])
})
