import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { openNifti } from '../../imaging/nifti-read.ts'
import { writeNifti, type StoredVoxels } from '../../imaging/nifti-write.ts'
import { materialise } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Grid } from '../../pipeline/grid.ts'
import { gridOf, int16, rawNifti, writeBytes } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'

const grid = gridOf([3, 2, 2], [0.75, 0.75, 2.5], [-10, 20, 30])
const numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]

async function* pieces<T extends StoredVoxels>(...all: T[]): AsyncGenerator<T> {
  yield* all
}

t.test('what was written is read back: three types, plain and gzipped', async t => {
  const folder = t.testdir()
  for (const voxels of [
    Uint8Array.from(numbers),
    Int16Array.from(numbers, n => n * 100 - 1000),
    Float32Array.from(numbers, n => n / 3),
  ]) {
    for (const name of ['a.nii', 'b.nii.gz', 'new/folder/c.nii.gz']) {
      const path = join(folder, `${voxels.constructor.name}-${name.split('/').at(-1)}`)
      await writeNifti(path, { grid, voxels })
      const { volume } = await openNifti(path)
      t.same([...(await materialise(volume))], [...voxels], path)
      t.same(volume.grid, grid)
    }
  }
  await writeNifti(join(folder, 'new', 'folder', 'd.nii'), { grid, voxels: Uint8Array.from(numbers) })
  t.same(readdirSync(join(folder, 'new', 'folder')), ['d.nii'], 'folders are made, nothing else is left')
})

t.test('the bytes do not depend on how the voxels were cut, nor on the machine', async t => {
  const folder = t.testdir()
  const large = gridOf([200, 200, 60])
  const voxels = Int16Array.from({ length: 200 * 200 * 60 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 24) - 100)
  await writeNifti(join(folder, 'whole.nii.gz'), { grid: large, voxels })
  const cut = pieces(voxels.subarray(0, 777), voxels.subarray(777, 1234567), voxels.subarray(1234567))
  await writeNifti(join(folder, 'cut.nii.gz'), { grid: large, voxels: cut })
  const [whole, again] = ['whole', 'cut'].map(name => readFileSync(join(folder, `${name}.nii.gz`))) as [Buffer, Buffer]
  t.ok(whole.equals(again))
  t.same([...whole.subarray(4, 8), whole[9]], [0, 0, 0, 0, 255], 'no time and no operating system in the gzip header')
  await writeNifti(join(folder, 'plain.nii'), { grid: large, voxels })
  t.ok(gunzipSync(whole).equals(readFileSync(join(folder, 'plain.nii'))))
})

t.test('any rotation, flip and shear survives in the sform, rotations in the qform too', async t => {
  const path = join(t.testdir(), 'oblique.nii')
  const [c, s] = [Math.cos(0.3), Math.sin(0.3)]
  const affines: Record<string, number[]> = {
    lps: [-0.7, 0, 0, 5, 0, -0.7, 0, 6, 0, 0, 2.5, 7, 0, 0, 0, 1],
    ras: [0.7, 0, 0, 5, 0, 0.7, 0, 6, 0, 0, 2.5, 7, 0, 0, 0, 1],
    mirrored: [0.7, 0, 0, 5, 0, 0.7, 0, 6, 0, 0, -2.5, 7, 0, 0, 0, 1],
    permuted: [0, 0, 2.5, 5, -0.7, 0, 0, 6, 0, 0.9, 0, 7, 0, 0, 0, 1],
    tilted: [0.7 * c, -0.8 * s, 0, 5, 0.7 * s, 0.8 * c, 0, 6, 0, 0, 2.5, 7, 0, 0, 0, 1],
    'tilted, mirrored': [-0.7, 0, 0, 5, 0, 0.8 * c, -2.5 * s, 6, 0, 0.8 * s, 2.5 * c, 7, 0, 0, 0, 1],
    'half a turn and a bit': [-0.7 * c, 0.8 * s, 0, 5, -0.7 * s, -0.8 * c, 0, 6, 0, 0, 2.5, 7, 0, 0, 0, 1],
  }
  for (const [name, affine] of Object.entries(affines)) {
    await writeNifti(path, { grid: { shape: [3, 2, 2], affine }, voxels: Uint8Array.from(numbers) })
    t.ok(maxDifference((await openNifti(path)).grid.affine, affine) < 1e-6, `${name}: sform`)
    const bytes = readFileSync(path)
    bytes.writeInt16LE(0, 254)
    writeFileSync(path, bytes)
    const { grid: qform, header } = await openNifti(path)
    t.equal(header.sformCode, 0)
    t.ok(maxDifference(qform.affine, affine) < 1e-5, `${name}: qform ${qform.affine.join(' ')}`)
  }
  const sheared = [0.7, 0.1, 0, 5, 0, 0.8, 0, 6, 0, 0, 2.5, 7, 0, 0, 0, 1]
  await writeNifti(path, { grid: { shape: [3, 2, 2], affine: sheared }, voxels: Uint8Array.from(numbers) })
  t.ok(maxDifference((await openNifti(path)).grid.affine, sheared) < 1e-6, 'sheared: sform')
})

t.test("a mask takes over its scan's geometry bit for bit", async t => {
  const folder = t.testdir()
  const rows = [-0.7, 0.01, 0, 1 / 3, 0, -0.7, 0, 20, 0, 0, 2.5, 1e-7]
  for (const version of [1, 2] as const) {
    for (const bigEndian of [false, true]) {
      const scan = rawNifti({
        version,
        bigEndian,
        dims: [3, 2, 2, 1],
        pixdims: [0.7, 0.7, 2.5, 1.5],
        datatype: 4,
        bits: 16,
        voxels: int16(...numbers),
        sform: { code: 4, rows },
        qform: { code: 2, quatern: [0.1, 0.2, 0.3, 4, 5, 6], qfac: -1 },
      })
      const { header, grid: scanGrid } = await openNifti(writeBytes(join(folder, 'scan.nii'), scan))
      const path = join(folder, 'mask.nii')
      await writeNifti(path, { grid: scanGrid, voxels: Uint8Array.from(numbers), geometryFrom: header.bytes })
      const mask = await openNifti(path)
      t.same(mask.grid, scanGrid)
      t.equal(mask.header.version, version)
      t.same([mask.header.qformCode, mask.header.sformCode], [2, 4])
      const [at, end] = version === 1 ? [76, 108] : [104, 168]
      const width = version === 1 ? 4 : 8
      const field = (bytes: Uint8Array): string => {
        const copy = Buffer.from(bytes.subarray(at, end))
        return (
          bytes === mask.header.bytes || !bigEndian ? copy : width === 4 ? copy.swap32() : copy.swap64()
        ).toString('hex')
      }
      t.equal(
        field(mask.header.bytes),
        field(header.bytes),
        `NIfTI-${version}, ${bigEndian ? 'big' : 'little'}-endian: pixdim`,
      )
    }
  }
  const { header } = await openNifti(join(folder, 'scan.nii'))
  const other: Grid = gridOf([4, 3, 1])
  await t.rejects(
    writeNifti(join(folder, 'other.nii'), {
      grid: other,
      voxels: Uint8Array.from(numbers),
      geometryFrom: header.bytes,
    }),
    {
      code: 'ERR_GEOMETRY',
      message: /expected the grid of the scan, 3 x 2 x 2 x 1, found 4 x 3 x 1/,
    },
  )
})

t.test('extents beyond 32767 need NIfTI-2', async t => {
  const path = join(t.testdir(), 'long.nii')
  const long = gridOf([40000, 1, 1])
  await writeNifti(path, { grid: long, voxels: new Uint8Array(40000).fill(3) })
  const image = await openNifti(path)
  t.equal(image.header.version, 2)
  t.same(image.grid, long)
})

t.test('a failure leaves neither the file nor a part of it, and an older file as it was', async t => {
  const folder = t.testdir()
  const path = join(folder, 'mask.nii.gz')
  await writeNifti(path, { grid, voxels: Uint8Array.from(numbers) })
  const before = readFileSync(path)
  await t.rejects(writeNifti(path, { grid, voxels: Uint8Array.from([1, 2]) }), {
    code: 'ERR_GEOMETRY',
    message: /expected 12 voxels .* found 2/,
  })
  await t.rejects(writeNifti(path, { grid, voxels: new Uint8Array(13) }), {
    code: 'ERR_GEOMETRY',
    message: /found more/,
  })
  await t.rejects(writeNifti(path, { grid, voxels: failing() }), { code: 'ERR_VOLUME', message: 'the scan is damaged' })
  t.same(readdirSync(folder), ['mask.nii.gz'])
  t.ok(readFileSync(path).equals(before))
  mkdirSync(join(folder, 'taken.nii'))
  await t.rejects(writeNifti(join(folder, 'taken.nii'), { grid, voxels: Uint8Array.from(numbers) }), {
    code: 'ERR_OUTPUT',
    message: /cannot be written/,
  })
  await t.rejects(writeNifti(join(path, 'below-a-file.nii'), { grid, voxels: Uint8Array.from(numbers) }), {
    code: 'ERR_OUTPUT',
  })
  t.same(readdirSync(folder), ['mask.nii.gz', 'taken.nii'])
})

t.test('any name that a file system takes is written', async t => {
  const folder = t.testdir()
  const name = `${'n'.repeat(248)}.nii.gz`
  await writeNifti(join(folder, 'a', 'b', name), { grid, voxels: Uint8Array.from(numbers) })
  t.same(readdirSync(join(folder, 'a', 'b')), [name])
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.from([1, 2])
  throw new PipelineError('ERR_VOLUME', 'the scan is damaged')
}
