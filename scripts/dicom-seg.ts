/**
 * `npm run check:dicom-seg`: writes segmentations of several series and has pydicom and highdicom read them back. Ends with 1
 * where a voxel, its place or what belongs to it differs.
 */

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lesionSegment, segmentationPieces } from '../imaging/dicom/segmentation.ts'
import { maskOf } from '../imaging/mask.ts'
import { openScan } from '../imaging/scan-file.ts'
import { writeSeries, type SliceFile } from '../test/support/dicom.ts'
import { sharedPath } from '../test/support/shared.ts'
import { pythonWith } from './parity/python.ts'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const here = join(root, 'scripts', 'dicom-seg')
const work = join(root, 'build', 'dicom-seg')
const cases = join(work, 'cases')

/** The class of a voxel; nothing in the first and the last slice but where said. */
type ClassOf = (x: number, y: number, z: number) => number

const blobs: ClassOf = (x, y, z) => (z === 2 || z === 5 ? ((x * 7 + y * 3 + z) % 4) % 3 : 0)

await makeCases()
const program = pythonWith(join(here, 'requirements.txt'), join(work, 'venv'), 'DICOM_PYTHON')
const { status } = spawnSync(program, ['-W', 'ignore', join(here, 'read_segmentations.py'), cases], {
  stdio: 'inherit',
})
process.exitCode = status ?? 1

async function makeCases(): Promise<void> {
  rmSync(cases, { recursive: true, force: true })
  const oblique = '0.8\\0.6\\0\\-0.48\\0.64\\0.6'
  const normal = [0.36, -0.48, 0.8]
  await make('axial', blobs, () => ({}))
  // 35 voxels a frame: frames begin inside bytes.
  await make('odd', blobs, () => ({ rows: 5, columns: 7 }))
  await make('oblique', blobs, k => ({
    position: normal.map((cosine, i) => Number((cosine * 1.5 * k + 10 * i).toFixed(4))),
    elements: { 0x00200037: ['DS', oblique] },
  }))
  await make('descending', blobs, k => ({ position: [5, 6, 70 - 3 * k] }))
  await make('tilted', blobs, k => ({ position: [-10, -20 + 0.5 * k, 2 * k] }), true)
  await make(
    'empty',
    () => 0,
    () => ({}),
  )
  await make(
    'full',
    () => 1,
    () => ({}),
  )
  await make(
    'one-slice',
    (x, y) => (x + y) % 3,
    () => ({}),
    false,
    1,
  )
  const real = sharedPath('data', 'dicom', 'cip-ct64')
  if (real === undefined) {
    console.log('no ../shared/data/dicom: the real series is left out')
    return
  }
  const folder = join(cases, 'real', 'series')
  mkdirSync(folder, { recursive: true })
  for (const name of readdirSync(real)) copyFileSync(join(real, name), join(folder, name))
  await segment('real', (x, y, z) => (x > 20 && y > 10 && z > 5 ? ((x * y + z) % 5 === 0 ? 1 : z % 2 ? 2 : 0) : 0))
}

async function make(
  name: string,
  classOf: ClassOf,
  slice: (k: number) => SliceFile,
  isTilted = false,
  count = 8,
): Promise<void> {
  writeSeries(join(cases, name, 'series'), count, k => ({ rows: 12, columns: 10, ...slice(k) }))
  await segment(name, classOf, isTilted)
}

async function segment(name: string, classOf: ClassOf, isTilted = false): Promise<void> {
  const folder = join(cases, name)
  const { grid, volume } = await openScan(join(folder, 'series'))
  const [nx, ny, nz] = grid.shape
  const voxels = new Uint8Array(nx * ny * nz).map((_, i) =>
    classOf(i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))),
  )
  const labels = ['Lesion', 'Consolidation']
  const pieces = segmentationPieces(volume.series!, maskOf(grid.shape, voxels), {
    segments: labels.map((label, i) => lesionSegment(i + 1, label)),
    algorithm: 'SegResNet',
    version: '0.1.0',
  })
  writeFileSync(join(folder, 'segmentation.dcm'), Buffer.concat([...pieces]))
  writeFileSync(join(folder, 'mask.raw'), voxels)
  const instances = volume.series!.instances.map(({ instanceUid }) => instanceUid)
  writeFileSync(join(folder, 'facts.json'), JSON.stringify({ ...grid, instances, labels, isTilted }))
}
