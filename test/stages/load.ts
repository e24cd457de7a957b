import { join } from 'node:path'
import t from 'tap'
import { materialise, type LoadedVolume } from '../../imaging/volume.ts'
import { load } from '../../stages/load.ts'
import { int16, rawNifti, writeBytes, type RawNifti } from '../support/nifti.ts'
import { runStage, sampleWith } from '../support/stage.ts'

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
