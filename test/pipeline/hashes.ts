import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { validateDefinition } from '../../pipeline/definition.ts'
import { canonicalJson, contentHash, definitionHash, fileHash, inputHash, watchInput } from '../../pipeline/hashes.ts'

const sha = (text: string): string => createHash('sha256').update(text).digest('hex')

t.test('a file is its bytes; several files are what sha256sum prints of them', async t => {
  const dir = t.testdir({
    'a.nii': 'aaa',
    'b.hdr': 'head',
    'b.img': 'voxels',
    slices: { '2.dcm': 'two', '1.dcm': 'one', '.x': '' },
  })
  const at = (name: string): string => join(dir, name)
  t.equal(await contentHash(at('a.nii')), sha('aaa'))
  t.equal(await contentHash(at('b.hdr')), sha(`${sha('head')}  b.hdr\n${sha('voxels')}  b.img\n`))
  t.equal(await contentHash(at('b.img')), await contentHash(at('b.hdr')), 'by either name')
  const series = await contentHash(at('slices'))
  t.equal(series, sha(`${sha('one')}  1.dcm\n${sha('two')}  2.dcm\n`), 'a folder of slices, hidden files left out')
  writeFileSync(at('slices/3.dcm'), '')
  t.not(await contentHash(at('slices')), series)
  await t.rejects(contentHash(at('none.nii')), { code: 'ENOENT' })
  await t.rejects(contentHash('/dev/null'), { code: 'ERR_FILE', message: /device/ })
  writeFileSync(at('large'), Buffer.alloc((1 << 20) * 2 + 3, 7))
  t.equal(
    await fileHash(at('large')),
    createHash('sha256')
      .update(Buffer.alloc((1 << 20) * 2 + 3, 7))
      .digest('hex'),
  )
  await t.rejects(fileHash(at('large'), AbortSignal.abort()), { name: 'AbortError' })
})

t.test('the mask of the lungs counts where there is one', async t => {
  const dir = t.testdir({ image: 'i', lungs: 'l' })
  const found = { id: 'a', index: 0, image: join(dir, 'image') }
  t.equal(await inputHash(found, contentHash), sha('i'))
  t.not(await inputHash({ ...found, lungs: join(dir, 'lungs') }, contentHash), sha('i'))
})

t.test('a scan that changes while it is at work has no content to rely on', async t => {
  const dir = t.testdir({ 'a.nii': 'a', 'b.nii': 'b' })
  const [a, b] = ['a', 'b'].map((id, index) => ({ id, index, image: join(dir, `${id}.nii`) }))
  const [ofA, ofB] = [await watchInput(a!), await watchInput(b!)]
  writeFileSync(b!.image, 'longer')
  t.equal(await ofA(), sha('a'))
  t.equal(await ofB(), null)
  t.equal(await (await watchInput({ id: 'c', index: 2, image: join(dir, 'none') }))(), null)
  mkdirSync(join(dir, 'empty'))
})

const hashOf = (change: object, backend?: string): string =>
  definitionHash(
    validateDefinition(
      {
        task: 'infer',
        dataset: { directory: 'scans' },
        network: { kind: 'segresnet', weights: 'a.safetensors' },
        stages: [{ kind: 'load', keys: ['image'] }, { kind: 'infer' }, { kind: 'save' }],
        output: 'out',
        ...change,
      },
      '/somewhere',
    ),
    backend,
  )

const stagesWith = (cache?: object): object => ({
  stages: [
    { kind: 'load', keys: ['image'] },
    ...(cache ? [{ kind: 'cache', ...cache }] : []),
    { kind: 'infer' },
    { kind: 'save' },
  ],
})

t.test('the definition counts as far as it decides a mask', async t => {
  const first = hashOf({})
  for (const change of [
    { output: 'elsewhere', memory: '8GiB', seed: 3, description: 'night run', onError: 'stop' },
    { network: { weights: 'b.safetensors', kind: 'segresnet' } },
    { dataset: { list: 'x.json' } },
    { engine: { threads: 3 } },
    { stages: [{ keys: ['image'], kind: 'load', parallel: 3 }, { kind: 'infer' }, { kind: 'save' }] },
  ])
    t.equal(hashOf(change), first, JSON.stringify(change))
  for (const change of [
    { network: { kind: 'segresnet', weights: 'a.safetensors', initFilters: 16 } },
    { engine: { precision: 'bfloat16' } },
    { stages: [{ kind: 'load', keys: ['image'] }, { kind: 'infer', overlap: 0.7 }, { kind: 'save' }] },
    { stages: [{ kind: 'load', keys: ['image'] }, { kind: 'clip' }, { kind: 'infer' }, { kind: 'save' }] },
  ])
    t.not(hashOf(change), first, JSON.stringify(change))
  for (const cache of [{}, { policy: 'disk', disk: { folder: 'x' } }, { bytes: '1GiB' }, { policy: 'none' }])
    t.equal(hashOf(stagesWith(cache)), first, `a cache that changes no voxel: ${JSON.stringify(cache)}`)
  const rounded = hashOf(stagesWith({ encoding: 'uint16' }))
  t.not(rounded, first)
  t.equal(hashOf(stagesWith({ encoding: 'uint16', policy: 'none' })), rounded)
  t.equal(hashOf(stagesWith({ encoding: 'uint16', policy: 'disk', disk: { folder: 'x' } })), rounded)
  t.not(hashOf({}, 'cpu'), hashOf({}, 'native'), 'what "auto" has chosen counts')
  t.equal(hashOf({ engine: { backend: 'cpu' } }, 'cpu'), hashOf({}, 'cpu'))
  t.equal(canonicalJson({ b: [{ d: 1, c: undefined }], a: null }), '{"a":null,"b":[{"d":1}]}')
})
