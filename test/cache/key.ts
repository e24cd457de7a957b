import { renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { caseKey, nameOf, type KeyParts } from '../../cache/key.ts'
import { fromText, toText, type Json } from '../../cache/plain-text.ts'

/** With options that only its own file knows. */
function stage<T extends { readonly kind: string }>(options: T): { readonly kind: string } {
  return options
}

t.test('a key changes with files, stages, encoding and version; with nothing else', async t => {
  const folder = t.testdir({ 'a.nii.gz': 'image', 'a-label.nii.gz': 'label', 'b.hdr': 'header', 'b.img': 'voxels' })
  const [image, label] = [join(folder, 'a.nii.gz'), join(folder, 'a-label.nii.gz')]
  const parts = {
    files: { image, label },
    stages: [{ kind: 'load' }, stage({ kind: 'resample', spacing: [0.8, 0.8, 5], parallel: 2 })],
    encoding: { image: 'uint16', label: 'exact' },
    version: '0.1.0',
  } satisfies KeyParts
  const key = await caseKey(parts)
  t.equal(await caseKey(structuredClone(parts)), key)
  t.equal(
    await caseKey({
      ...parts,
      stages: [{ kind: 'load' }, stage({ parallel: 7, spacing: [0.8, 0.8, 5], kind: 'resample' })],
    }),
    key,
    'the order of names and what runs side by side change nothing',
  )
  const others: Partial<KeyParts>[] = [
    { files: { image } },
    { files: { image: label, label: image } },
    { files: { image, prediction: label } },
    { files: { image, label, prediction: join(folder, 'missing.nii') } },
    { stages: [{ kind: 'load' }] },
    { stages: [{ kind: 'load' }, stage({ kind: 'resample', spacing: [0.8, 0.8, 4] })] },
    { stages: parts.stages.toReversed() },
    { encoding: { image: 'exact', label: 'exact' } },
    { version: '0.2.0' },
  ]
  const keys = await Promise.all(others.map(other => caseKey({ ...parts, ...other })))
  t.equal(new Set([key, ...keys]).size, others.length + 1)
  t.match(nameOf(key), /^[0-9a-f]{64}$/)

  utimesSync(image, 1000, 1000.000001)
  const touched = await caseKey(parts)
  t.not(touched, key)
  utimesSync(image, 1000, 1000.000002)
  t.not(await caseKey(parts), touched, 'a microsecond counts')
  writeFileSync(label, 'longer label')
  t.not(await caseKey(parts), touched)
  renameSync(image, join(folder, 'gone'))
  await caseKey(parts)

  const pair = { ...parts, files: { image: join(folder, 'b.hdr') } }
  const before = await caseKey(pair)
  writeFileSync(join(folder, 'b.img'), 'other voxels')
  t.not(await caseKey(pair), before, 'the voxels of a pair lie in another file')

  const slices = t.testdir({ ct: { '1.dcm': 'one', '2.dcm': 'two' } })
  const series = { ...parts, files: { image: join(slices, 'ct') } }
  const keysOfSeries = [await caseKey(series)]
  writeFileSync(join(slices, 'ct', '2.dcm'), 'another')
  keysOfSeries.push(await caseKey(series))
  renameSync(join(slices, 'ct', '1.dcm'), join(slices, 'ct', '0.dcm'))
  keysOfSeries.push(await caseKey(series))
  t.equal(new Set(keysOfSeries).size, 3, 'a series is all files of its folder')
  writeFileSync(join(slices, 'ct', '.DS_Store'), 'of no slice')
  t.equal(await caseKey(series), keysOfSeries[2], 'hidden files are none of it')
})

t.test('text keeps what JSON loses', async t => {
  const value: Json = {
    zero: -0,
    numbers: [0, 1 / 3, 1e-320, NaN, Infinity, -Infinity],
    bytes: Uint8Array.of(0, 255, 7),
    deep: [{ a: null, b: [true, 'text', '$'] }],
  }
  const back = fromText(toText(value)) as { zero: number; bytes: unknown }
  t.same(back, value)
  t.ok(Object.is(back.zero, -0))
  t.ok(back.bytes instanceof Uint8Array)
  t.equal(toText({ b: 1, a: { d: 2, c: undefined } }), toText({ a: { d: 2 }, b: 1 }))
  t.throws(() => toText({ $number: 'NaN' }), { message: /begin with \$/ })
})
