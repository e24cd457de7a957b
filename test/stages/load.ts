import { join } from 'node:path'
import highland from 'highland'
import t from 'tap'
import { materialise, type LoadedVolume } from '../../imaging/volume.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import { load } from '../../stages/load.ts'
import { shorts, writeSeries } from '../support/dicom.ts'
import { int16, rawNifti, writeBytes, type RawNifti } from '../support/nifti.ts'
import { contextOf, nothingBefore, optionsFrom, runStage, sampleWith } from '../support/stage.ts'

const scan: RawNifti = {
  dims: [2, 2, 2],
  pixdims: [1, 1, 5],
  datatype: 4,
  bits: 16,
  voxels: int16(-1000, -500, 0, 1, 2, 3, 40, 500),
  sform: { code: 1, rows: [-1, 0, 0, 10, 0, -1, 0, 20, 0, 0, 5, 30] },
}
const moved = (z: number): RawNifti => ({ ...scan, sform: { code: 1, rows: [-1, 0, 0, 10, 0, -1, 0, 20, 0, 0, 5, z] } })

t.test('volumes are lazy, share a grid and carry the header', async t => {
  const folder = t.testdir()
  const bytes = rawNifti(scan)
  const image = writeBytes(join(folder, 'ct.nii.gz'), bytes)
  const label = writeBytes(join(folder, 'mask.nii'), rawNifti(moved(30.01)))
  const [sample] = await runStage(load, { kind: 'load' }, [sampleWith({}, { image, label })])
  t.same(sample!.steps, [])
  t.equal(sample!.image!.resident, undefined)
  t.equal(sample!.prediction, undefined)
  t.same([...(await materialise(sample!.image!))], [-1000, -500, 0, 1, 2, 3, 40, 500])
  t.ok(bytes.subarray(0, 348).equals((sample!.image as LoadedVolume).header!))
})

t.test('a mask on another grid is refused with the distance', async t => {
  const folder = t.testdir()
  const image = writeBytes(join(folder, 'ct.nii'), rawNifti(scan))
  const label = writeBytes(join(folder, 'mask.nii'), rawNifti(moved(31)))
  await t.rejects(runStage(load, { kind: 'load' }, [sampleWith({}, { image, label })]), {
    code: 'ERR_GEOMETRY',
    message: /mask\.nii: .*0, 0, 1 mm/,
    facts: { case: 'case', stage: 'load' },
  })
  t.equal(
    (await runStage(load, { kind: 'load', geometryToleranceMm: 2 }, [sampleWith({}, { image, label })])).length,
    1,
  )
  const onlyImage = await runStage(load, { kind: 'load', keys: ['image'] }, [sampleWith({}, { image, label })])
  t.equal(onlyImage[0]!.label, undefined)
})

t.test('several volumes in a file are refused with their number', async t => {
  const image = writeBytes(join(t.testdir(), 'ct.nii'), rawNifti({ ...scan, dims: [2, 2, 1, 2] }))
  await t.rejects(runStage(load, { kind: 'load' }, [sampleWith({}, { image })]), {
    code: 'ERR_VOLUME',
    message: /found 2 in one file/,
  })
})

t.test('a key that is asked for must be listed', async t => {
  const image = writeBytes(join(t.testdir(), 'ct.nii'), rawNifti(scan))
  await t.rejects(runStage(load, { kind: 'load', keys: ['image', 'label'] }, [sampleWith({}, { image })]), {
    code: 'ERR_DATASET',
    message: /"label"/,
  })
})

t.test('a folder of DICOM slices is a scan like any other', async t => {
  const dir = t.testdir()
  const image = writeSeries(join(dir, 'ct'), 3, k => ({ pixels: shorts(Array.from({ length: 12 }, () => k)) }))
  const rows = [-0.5, 0, 0, 10, 0, -0.75, 0, 20, 0, 0, 2, 30]
  const mask = { ...scan, dims: [4, 3, 3], voxels: new Uint8Array(72), sform: { code: 1, rows } }
  const label = writeBytes(join(dir, 'mask.nii'), rawNifti(mask))
  const [sample] = await runStage(load, { kind: 'load' }, [sampleWith({}, { image, label })])
  t.equal((await materialise(sample!.image!))[35], 2)
  t.equal(sample!.scan, sample!.image)
  t.equal((sample!.scan as LoadedVolume).series!.seriesUid, '1.2.3.1')
})

t.test('a prediction may lie on a grid of its own: dice compares', async t => {
  const folder = t.testdir()
  const [label, prediction] = ['label', 'mask'].map((name, i) =>
    writeBytes(join(folder, `${name}.nii`), rawNifti(moved(30 + 50 * i))),
  )
  const files = { label: label!, prediction: prediction! }
  const [sample] = await runStage(load, { kind: 'load' }, [sampleWith({}, files)])
  t.same(
    [sample!.label, sample!.prediction].map(volume => volume!.grid.affine[11]),
    [30, 80],
  )
})

t.test("a missing mask is empty, on its reference's grid, with a word", async t => {
  const folder = t.testdir()
  const label = writeBytes(
    join(folder, 'label.nii'),
    rawNifti({ ...scan, dims: [2, 2, 3], voxels: int16(...Array(12).fill(1)) }),
  )
  const notes: string[] = []
  const loaded = async (json: object, files: object): Promise<Sample> => {
    const transform = load.create(
      optionsFrom(load, json),
      contextOf({ note: text => void notes.push(text) }),
      nothingBefore,
    )
    return (await transform(highland<Item>([sampleWith({}, { isMissing: true, ...files })])).toPromise(
      Promise,
    )) as Sample
  }
  const prediction = join(folder, 'mask.nii')
  for (const keys of [{}, { keys: ['prediction', 'label'] }]) {
    const { prediction: mask, label: reference } = await loaded({ kind: 'load', ...keys }, { label, prediction })
    t.same(mask!.grid, reference!.grid)
    t.same([...(await materialise(mask!))], Array(12).fill(0))
    t.same([...(await materialise(mask!))], Array(12).fill(0), 'and again')
    t.match(notes.pop(), `${prediction}: there is no such mask; the case counts as missed`)
  }
  t.equal((await loaded({ kind: 'load' }, { label })).prediction!.grid.shape[2], 3, 'where the list names none')
  t.match(notes.pop(), /^case: there is no such mask/)
  const bare = loaded({ kind: 'load', keys: ['prediction'] }, { prediction })
  await t.rejects(bare, { code: 'ERR_FILE' }, 'nothing to tell its grid by')
})

t.test('lungs may lie on a grid of their own, and the scan is kept', async t => {
  const folder = t.testdir()
  const image = writeBytes(join(folder, 'ct.nii'), rawNifti(scan))
  const lungs = writeBytes(
    join(folder, 'lungs.nii'),
    rawNifti({ ...moved(99), dims: [2, 2, 1], voxels: int16(0, 2, 3, 0) }),
  )
  const [sample] = await runStage(load, { kind: 'load' }, [sampleWith({}, { image, lungs })])
  t.same([...(await materialise(sample!.lungs!))], [0, 2, 3, 0])
  t.equal(sample!.scan, sample!.image)
})

t.test('a case with a problem fails with it, under its name', async t => {
  const problem = 'list.json: /testing/1/image: expected one image per case, found 3: a, b, c'
  await t.rejects(runStage(load, { kind: 'load' }, [sampleWith({}, { id: 'p7', problem })]), {
    code: 'ERR_DATASET',
    message: `p7: load: ${problem}`,
    facts: { case: 'p7', stage: 'load' },
  })
})

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)

t.test('colours, NaN and damage are told; odd extents and any HU pass', async t => {
  const folder = t.testdir()
  const through = async (name: string, content: RawNifti): Promise<number[]> => {
    const image = writeBytes(join(folder, `${name}.nii`), rawNifti(content))
    const [sample] = await runStage(load, { kind: 'load' }, [sampleWith({}, { image })])
    return [...(await materialise(sample!.image!))]
  }
  const oneVoxel = { ...scan, dims: [1, 1, 1], voxels: int16(7) }
  t.same(await through('voxel', oneVoxel), [7])
  t.same(await through('plane', { ...scan, dims: [2, 2, 1], voxels: int16(1, 2, 3, 4) }), [1, 2, 3, 4])
  t.same(await through('row', { ...scan, dims: [1, 2, 2], voxels: int16(1, 2, 3, 4) }), [1, 2, 3, 4])
  t.same(await through('4-d', { ...scan, dims: [2, 2, 1, 1], voxels: int16(1, 2, 3, 4) }), [1, 2, 3, 4])
  const far = [-32768, -3024, 3072, 32767]
  t.same(await through('far', { ...scan, dims: [2, 2, 1], voxels: int16(...far) }), far)
  const real = { ...scan, dims: [2, 1, 1], datatype: 16, bits: 32 }
  t.same(await through('real', { ...real, voxels: floats(1e30, -1e30) }), [...Float32Array.of(1e30, -1e30)])
  await t.rejects(through('nan', { ...real, voxels: floats(0, NaN) }), {
    code: 'ERR_VOLUME',
    message: /nan\.nii: .*1 that are NaN.*\(1, 0, 0\)/,
  })
  await t.rejects(through('rgb', { ...scan, datatype: 128, bits: 24, voxels: new Uint8Array(24) }), {
    code: 'ERR_VOLUME',
    message: /rgb\.nii: .*RGB/,
  })
  await t.rejects(through('vector', { ...scan, dims: [2, 2, 2, 1, 3], voxels: new Uint8Array(48) }), {
    code: 'ERR_VOLUME',
    message: /found 3 in one file/,
  })
})
