/** A scan like those of chest CT and its label, as files: smooth anatomy under noise, so that gzip halves it as it does CTs. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { encodeHeader } from '../../imaging/nifti-write.ts'
import { rng } from '../../pipeline/random.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'

export interface Scan {
  readonly image: string
  readonly label: string
}

export const scanShape: Shape3 = [512, 512, 300]
const spacingMm = [0.7, 0.7, 1] as const
const gzipped = promisify(gzip)

/** `scanShape`, and the same planes `times` times upon each other. The caller removes the folder. */
export async function writeScan(times = 1): Promise<{ scan: Scan; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ctflow-load-'))
  const scan = { image: join(folder, 'ct.nii.gz'), label: join(folder, 'mask.nii.gz') }
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const { image, label } = render(scanShape)
    await writeGzipped(scan.image, image, 4, times)
    await writeGzipped(scan.label, label, 2, times)
  } catch (error) {
    await remove()
    throw error
  }
  return { scan, remove }
}

/** Header and voxels as members of one gzip file, each `times` planes' worth compressed once. */
async function writeGzipped(
  path: string,
  voxels: Int16Array | Uint8Array,
  datatype: number,
  times: number,
): Promise<void> {
  const grid: Grid = {
    shape: [scanShape[0], scanShape[1], scanShape[2] * times],
    affine: [-spacingMm[0], 0, 0, 180, 0, -spacingMm[1], 0, 180, 0, 0, spacingMm[2], -150, 0, 0, 0, 1],
  }
  const header = await gzipped(encodeHeader({ grid }, datatype, 'ctflow bench', path))
  const body = await gzipped(new Uint8Array(voxels.buffer), { level: 4, chunkSize: 1 << 20 })
  await writeFile(path, Buffer.concat([header, ...Array.from({ length: times }, () => body)]))
}

/** Voxels (z, y, x): HU, and lesions in the lungs. */
function render([nx, ny, nz]: Shape3): { image: Int16Array; label: Uint8Array } {
  const image = new Int16Array(nx * ny * nz)
  const label = new Uint8Array(image.length)
  const noise = noiseTable()
  const random = rng(0, 0, 0, 'bench-scan')
  const lesions = Array.from({ length: 12 }, (_, i) => ({
    x: (i % 2 === 0 ? 160 : 352) + 40 * (random.uniform() - 0.5),
    y: 250 + 120 * (random.uniform() - 0.5),
    z: nz * (0.2 + 0.6 * random.uniform()),
    r: 8 + 14 * random.uniform(),
  }))
  for (let z = 0; z < nz; z++) {
    const lung = 90 + 25 * Math.sin((Math.PI * z) / nz)
    const near = lesions.filter(lesion => Math.abs(z - lesion.z) < lesion.r)
    for (let y = 0; y < ny; y++) {
      const from = random.integer(noise.length - nx)
      for (let x = 0, at = (z * ny + y) * nx; x < nx; x++, at++) {
        const hu = tissue(x - 256, y - 256, z, lung)
        const lesion = near.some(l => (x - l.x) ** 2 + (y - l.y) ** 2 + (z - l.z) ** 2 < l.r ** 2)
        // Outside the bore a scanner writes one value.
        const bore = (x - 256) ** 2 + (y - 256) ** 2 < 254 ** 2
        image[at] = bore ? (lesion ? -300 : hu) + noise[from + x]! : -1024
        if (lesion) label[at] = 1
      }
    }
  }
  return { image, label }
}

function tissue(x: number, y: number, z: number, lung: number): number {
  if ((x / 225) ** 2 + (y / 165) ** 2 > 1) return -1000
  if ((x / 18) ** 2 + ((y - 95) / 20) ** 2 < 1) return 350
  if (((Math.abs(x) - 98) / (0.7 * lung)) ** 2 + (y / lung) ** 2 < 1) return -850 + 30 * Math.sin(0.05 * x + 0.03 * z)
  return 40 + 15 * Math.sin(0.02 * y + 0.01 * z)
}

/** About normal, 20 HU. */
function noiseTable(): Int16Array {
  const random = rng(0, 0, 0, 'bench-noise')
  const uniform = (): number => random.uniform() - 0.5
  return Int16Array.from({ length: 1 << 20 }, () => Math.round(35 * (uniform() + uniform() + uniform())))
}
