import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { importMmarCommand } from '../../bin/import-mmar.ts'
import { checkpointReader, find, writeMmar } from '../support/mmar.ts'

interface Printed {
  readonly code: number
  readonly out: readonly string[]
  readonly errors: readonly string[]
}

const broken = async (): Promise<never> => {
  throw new TypeError('oops')
}

async function run(
  dir: string,
  flags: Parameters<typeof importMmarCommand>[1] = {},
  reader = checkpointReader(),
): Promise<Printed> {
  const out: string[] = []
  const errors: string[] = []
  const code = await importMmarCommand(dir, flags, reader, {
    log: line => out.push(line),
    error: line => errors.push(line),
  })
  return { code, out, errors }
}

t.test('all taken: the report, and 0', async t => {
  const dir = writeMmar(join(t.testdir({}), 'lesions'))
  const { code, out, errors } = await run(dir, { out: join(t.testdirName, 'out') })
  t.equal(code, 0)
  t.match(out[0], /^lesions: \d+ taken, \d+ replaced, \d+ not needed, \d+ to check, 0 could not be taken$/)
  t.match(
    out.at(-1),
    /out: train.json, infer.json, evaluate.json, model.safetensors, import-report.txt, import-report.json$/,
  )
  t.same(errors, [])
})

t.test('something could not be taken: written, and 3; as JSON one object', async t => {
  const dir = writeMmar(join(t.testdir({}), 'lesions'), files => {
    find(files['config/config_train.json'].train.pre_transforms, 'Lambdad').args.func = 'lambda x: f(x)'
  })
  const { code, out } = await run(dir, { out: join(t.testdirName, 'out'), json: true })
  t.equal(code, 3)
  t.equal(out.length, 1)
  t.match(JSON.parse(out[0]!), {
    status: 'incomplete',
    exitCode: 3,
    complete: false,
    mmar: 'lesions',
    lines: [{ outcome: String }],
  })
  t.ok(existsSync(join(t.testdirName, 'out/train.json')))
})

t.test('refused: what was found so far, the reason, and 2', async t => {
  const dir = writeMmar(
    join(t.testdir({}), 'lesions'),
    files => (files['config/config_train.json'].train.model.name = 'UNet'),
  )
  const { code, out, errors } = await run(dir, { out: join(t.testdirName, 'out') })
  t.equal(code, 2)
  t.ok(out.some(line => line.includes('{epochs} -> 1260')))
  t.match(errors, [/expected a SegResNet, found "UNet"/])
  const json = await run(dir, { json: true })
  t.match(JSON.parse(json.out[0]!), {
    status: 'refused',
    exitCode: 2,
    code: 'ERR_DEFINITION',
    error: /UNet/,
    files: [],
  })
})

t.test('files in the way: 1, as of every subcommand', async t => {
  const dir = writeMmar(join(t.testdir({ out: { 'train.json': 'mine' } }), 'lesions'))
  const { code, out } = await run(dir, { out: join(t.testdirName, 'out'), json: true })
  t.equal(code, 1)
  t.match(JSON.parse(out[0]!), { status: 'failed', exitCode: 1, code: 'ERR_OUTPUT', error: /--force/, files: [] })
})

t.test('a bug is told with its place, and 1', async t => {
  const dir = writeMmar(join(t.testdir({}), 'lesions'))
  const { code, errors } = await run(dir, { out: join(t.testdirName, 'out') }, broken)
  t.equal(code, 1)
  t.match(errors[0], /TypeError: oops\n +at /)
})

t.test(
  "without --out it goes to a folder of the MMAR's name, and beside the MMAR where that is the MMAR itself",
  async t => {
    const dir = writeMmar(join(t.testdir({ work: {} }), 'lesions'))
    const before = process.cwd()
    t.teardown(() => process.chdir(before))
    process.chdir(join(t.testdirName, 'work'))
    t.match((await run(dir, { json: true })).out[0], /work\/lesions"/)
    process.chdir(t.testdirName)
    const { out } = await run(dir, { json: true })
    t.equal(basename(JSON.parse(out[0]!).out), 'lesions-ctflow')
  },
)
