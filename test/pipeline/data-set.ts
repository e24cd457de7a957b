import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { openDataSet } from '../../pipeline/data-set.ts'
import { validateDefinition, type DataSetOptions } from '../../pipeline/definition.ts'
import type { Case } from '../../pipeline/flow.ts'
import { sliceFile, writeSeries } from '../support/dicom.ts'

/** Its cases, found for inference. */
async function casesOf(options: DataSetOptions, output = '/nowhere'): Promise<readonly Case[]> {
  return (await openDataSet('infer', options, output)).section('testing')
}

async function idsOf(options: DataSetOptions, output?: string): Promise<string[]> {
  return (await casesOf(options, output)).map(({ id }) => id)
}

function write(folder: string, ...names: string[]): string {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), '')
  }
  return folder
}

t.test('a directory is searched to its bottom, sorted; hidden, linked and own folders are left out', async t => {
  const dir = t.testdir()
  const scans = write(
    join(dir, 'scans'),
    'z.nii.gz',
    'a/b/c.nii',
    'a.hdr',
    'a.img',
    'notes.txt',
    '.hidden/x.nii',
    '._z.nii.gz',
    'out/masks/z.nii.gz',
  )
  symlinkSync(scans, join(scans, 'a', 'loop'))
  symlinkSync(join(scans, 'z.nii.gz'), join(scans, 'linked.nii.gz'))
  writeSeries(join(scans, 'p1', 'ct'), 2)
  writeSeries(join(scans, 'p2'), 2, undefined, { name: k => `1.2.840.${k}` })
  write(join(scans, 'p3'), 'README', 'DICOMDIR')
  writeFileSync(join(scans, 'p3', 'DICOMDIR'), sliceFile())
  const found = await casesOf({ directory: scans }, join(scans, 'out'))
  t.same(
    found.map(({ id }) => id),
    ['a', 'a/b/c', 'linked', 'p1/ct', 'p2', 'z'],
  )
  t.equal(found[3]!.image, join(scans, 'p1', 'ct'))
  t.same(
    found.map(({ index }) => index),
    [0, 1, 2, 3, 4, 5],
  )
})

t.test('patterns choose', async t => {
  const directory = write(
    join(t.testdir(), 'scans'),
    'p1/a_ct.nii.gz',
    'p1/a_seg.nii.gz',
    'p2/b_ct.nii.gz',
    'c_ct.nii.gz',
  )
  writeSeries(join(directory, 'p2', 'series'), 1)
  t.same(await idsOf({ directory, include: '**/*_ct.nii.gz' }), ['c_ct', 'p1/a_ct', 'p2/b_ct'])
  t.same(await idsOf({ directory, include: ['p1/*', 'p2/series'], exclude: '**/*_seg.*' }), ['p1/a_ct', 'p2/series'])
  t.same(await idsOf({ directory, exclude: ['p1/**', 'p2/**'] }), ['c_ct'])
  await t.rejects(idsOf({ directory, include: '*.mha' }), { code: 'ERR_DATASET', message: /no cases.*"include"/ })
})

t.test("a run's own masks are no scans, by whatever links the folders are reached", async t => {
  const dir = t.testdir()
  const scans = write(join(dir, 'scans'), 'a.nii.gz', 'out/masks/a.nii.gz')
  symlinkSync(scans, join(dir, 'linked'))
  for (const [directory, output] of [
    ['scans', 'linked/out'],
    ['linked', 'scans/out'],
    ['linked', 'linked/out'],
  ] as const)
    t.same(await idsOf({ directory: join(dir, directory) }, join(dir, output)), ['a'], `${directory}, ${output}`)
  for (const output of ['scans', 'linked'])
    await t.rejects(idsOf({ directory: scans }, join(dir, output)), {
      code: 'ERR_DATASET',
      message: /this is "output" too.*choose another "output"/,
    })
})

t.test('a directory may itself be a series', async t => {
  const directory = writeSeries(join(t.testdir(), 'ct7'), 2)
  t.match(await casesOf({ directory }), [{ id: 'ct7', image: directory }])
  write(directory, 'x/a.nii.gz')
  t.same(await idsOf({ directory, include: '**/*.nii.gz' }), ['ct7', 'x/a'])
  t.same(await idsOf({ directory, exclude: ['x/**', '**/*.dcm'] }), ['ct7'])
  t.same(await idsOf({ directory, exclude: '.' }), ['x/a'])
})

t.test('single files are named by their place below the root', async t => {
  const root = write(join(t.testdir(), 'study'), 'x/a.nii.gz')
  const files = ['x/a.nii.gz', 'b.dcm', 'scans/ct1', '../other/c.nii']
  const { dataset } = validateDefinition(
    {
      task: 'infer',
      dataset: { files },
      network: { kind: 'segresnet', weights: 'w' },
      stages: [{ kind: 'load' }, { kind: 'infer', window: [32, 32, 32] }, { kind: 'save' }],
      output: 'out',
    },
    root,
  )
  const found = await casesOf(dataset)
  t.same(
    found.map(({ id }) => id),
    ['x/a', 'b', 'scans/ct1', 'other/c'],
  )
  t.equal(found[3]!.image, join(root, '..', 'other', 'c.nii'))
  await t.rejects(casesOf({ root, files: [join(root, 'a.nii'), join(root, 'a.nii.gz')] }), {
    message: /both called "a"/,
  })
})

t.test('several images of one case are a reason why that case fails', async t => {
  const root = t.testdir()
  const list = join(root, 'list.json')
  const entries = [
    { image: 'a.nii', lungs: 'a-lungs.nii' },
    { image: ['b0.nii', 'b1.nii', 'b2.nii'], label: 'b.nii' },
    { image: ['c.nii'] },
    'd.nii',
  ]
  writeFileSync(list, JSON.stringify({ testing: entries }))
  const found = await casesOf({ list })
  t.same(
    found.map(({ id }) => id),
    ['a', 'b0', 'c', 'd'],
  )
  t.equal(found[0]!.lungs, join(root, 'a-lungs.nii'))
  t.match(found[1], { problem: /\/testing\/1\/image: expected one image per case, found 3: .*b0\.nii, / })
  t.equal(found[1]!.image, undefined)
  t.equal(found[2]!.image, join(root, 'c.nii'))
  for (const entry of [{ image: [] }, { image: [7] }, { image: 'a.nii', lungs: 7 }, 7]) {
    writeFileSync(list, JSON.stringify({ testing: [entry] }))
    await t.rejects(casesOf({ list }), { code: 'ERR_DATASET' }, JSON.stringify(entry))
  }
})

t.test('masks of lungs and predictions lie in folders, named as the cases', async t => {
  const directory = write(join(t.testdir(), 'scans'), 'p/a.nii.gz')
  const [found] = await casesOf({ directory, lungs: '/lungs', predictions: '/masks' })
  t.match(found, { lungs: join('/lungs', 'p', 'a.nii.gz'), prediction: join('/masks', 'p', 'a.nii.gz') })
})

/** The cases of a list whose masks are compared. */
async function comparedOf(options: DataSetOptions): Promise<readonly Case[]> {
  return (await openDataSet('evaluate', options, '/nowhere', true)).section('testing')
}

t.test('what else an entry says is kept as text, if it is a word or a number', async t => {
  const root = t.testdir()
  const list = join(root, 'list.json')
  const entry = {
    image: 'a.nii',
    label: 'b.nii',
    site: 'Ulm',
    age: 61.5,
    isSmoker: false,
    none: null,
    more: [1],
    box: {},
  }
  writeFileSync(list, JSON.stringify({ testing: [entry, 'c.nii'] }))
  const [first, second] = await casesOf({ list })
  t.same(first!.fields, { site: 'Ulm', age: '61.5', isSmoker: 'false' })
  t.notOk('fields' in second!)
})

t.test('masks that are not there are missing; where there is none at all, the path is wrong', async t => {
  const root = t.testdir()
  const list = join(root, 'list.json')
  const testing = ['a', 'b'].map(name => ({ image: `${name}.nii`, label: `${name}-label.nii` }))
  writeFileSync(list, JSON.stringify({ testing }))
  const predictions = write(join(root, 'masks'), 'b.nii.gz')
  const found = await comparedOf({ list, predictions })
  t.match(found, [{ isMissing: true, prediction: join(predictions, 'a.nii.gz') }, { id: 'b' }])
  t.notOk('isMissing' in found[1]!)
  for (const wrong of [join(root, 'none'), write(join(root, 'others'), 'c.nii.gz')]) {
    await t.rejects(comparedOf({ list, predictions: wrong }), {
      code: 'ERR_DATASET',
      message: /expected masks of 2 cases, found not one of them, such as .*a\.nii\.gz; is the path right/,
    })
  }
  t.notOk(
    (await casesOf({ list, predictions: join(root, 'none') })).some(({ isMissing }) => isMissing),
    'not compared',
  )
})

t.test('a list may name its masks itself, the folder of masks comes first', async t => {
  const root = write(t.testdir(), 'made/a.nii.gz', 'masks/a.nii.gz')
  const list = join(root, 'list.json')
  const entries = [
    { image: 'a.nii', prediction: 'made/a.nii.gz' },
    { image: 'b.nii', prediction: 'made/b.nii.gz' },
    'c.nii',
  ]
  writeFileSync(list, JSON.stringify({ testing: entries }))
  const found = await comparedOf({ list })
  t.same(
    found.map(({ isMissing = false }) => isMissing),
    [false, true, true],
  )
  t.equal(found[0]!.prediction, join(root, 'made', 'a.nii.gz'))
  const [other] = await comparedOf({ list, predictions: join(root, 'masks') })
  t.equal(other!.prediction, join(root, 'masks', 'a.nii.gz'))
  writeFileSync(list, JSON.stringify({ testing: ['c.nii'] }))
  await t.rejects(comparedOf({ list }), { code: 'ERR_DATASET', message: /nothing to evaluate.*"predictions"/ })
  writeFileSync(list, JSON.stringify({ testing: [] }))
  await t.rejects(comparedOf({ list }), { code: 'ERR_DATASET', message: /"testing" has no cases/ })
})
