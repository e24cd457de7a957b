import { execFileSync } from 'node:child_process'
import { renameSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { cropVoxels } from '../../imaging/crop.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { materialise } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { rawNifti, writeBytes, type RawNifti } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'

/** Of several slabs, so that a reader can be stopped in the middle. */
const dims: Shape3 = [300, 200, 60]
const noise = new Uint8Array(new Int16Array(300 * 200 * 60).map((_, i) => Math.imul(i, 40503) >> 17).buffer)
const content: RawNifti = { dims, pixdims: [1, 1, 2], datatype: 4, bits: 16, voxels: noise }

/** Pulls one slab, then `meanwhile`, then the rest. */
async function pullAround(volume: Volume, meanwhile: () => void): Promise<number> {
  let planes = 0
  for await (const slab of volume.slabs()) {
    if (planes === 0) meanwhile()
    planes += slab.planes
  }
  return planes
}

for (const ending of ['nii', 'nii.gz']) {
  t.test(`a .${ending} file that changes while it is read is refused, and says so`, async t => {
    const folder = t.testdir()
    const bytes = rawNifti(content)
    const changes: Record<string, (path: string) => void> = {
      'written to': path => writeBytes(path, Buffer.from(bytes).fill(7, 1000)),
      longer: path => writeFileSync(path, Buffer.alloc(10), { flag: 'a' }),
      cut: path => truncateSync(path, 2000),
      touched: path => utimesSync(path, 1, 1),
      replaced: path => {
        writeBytes(join(folder, `other.${ending}`), bytes)
        renameSync(join(folder, `other.${ending}`), path)
      },
    }
    for (const [name, change] of Object.entries(changes)) {
      const path = writeBytes(join(folder, `${name}.${ending}`), bytes)
      utimesSync(path, 1e9, 1e9)
      const { volume } = await openNifti(path)
      const expected = { code: 'ERR_FILE', message: /has changed while it was being read/, facts: { path } }
      await t.rejects(
        pullAround(volume, () => change(path)),
        expected,
        `${name} in the middle`,
      )
      await t.rejects(materialise(volume), expected, `${name} between opening and pulling`)
      if (volume.region) await t.rejects(volume.region([0, 0, 0], [1, 1, 1]), expected, `${name} before a region`)
      t.equal(await pullAround((await openNifti(writeBytes(path, bytes))).volume, () => {}), 60, 'opened again')
    }
    const gone = writeBytes(join(folder, `gone.${ending}`), bytes)
    const { volume } = await openNifti(gone)
    await t.rejects(
      pullAround(volume, () => rmSync(gone)),
      { code: 'ERR_FILE', message: /nothing there/ },
    )
  })
}

t.test('what is no file is refused before anybody waits for it', { skip: process.platform === 'win32' }, async t => {
  const path = join(t.testdir(), 'pipe.nii.gz')
  execFileSync('mkfifo', [path])
  await t.rejects(openNifti(path), { code: 'ERR_FILE', message: /pipe\.nii\.gz: expected a NIfTI file, found a pipe/ })
  await t.rejects(openNifti('/dev/zero'), { code: 'ERR_FILE', message: /found a device/ })
})

t.test('a gzip stream that goes on and on behind the voxels is not followed', async t => {
  const path = join(t.testdir(), 'bomb.nii.gz')
  const small = rawNifti({ ...content, dims: [2, 2, 2], voxels: new Uint8Array(16) })
  const zeros = gzipSync(Buffer.alloc(1 << 26))
  const bomb = (members: number): string => {
    writeFileSync(path, Buffer.concat([gzipSync(small), ...Array.from({ length: members }, () => zeros)]))
    return path
  }
  t.comment(`${statSync(bomb(64)).size} bytes that inflate to 4 GiB`)
  const { volume } = await openNifti(path)
  await t.rejects(materialise(volume), { code: 'ERR_FILE', message: /stopped inflating/ })
  writeFileSync(path, gzipSync(Buffer.concat([small, Buffer.alloc(1 << 20)])))
  t.equal((await materialise((await openNifti(path)).volume)).length, 8, 'a mebibyte of padding is no bomb')
})

t.test('planes that nobody can hold are refused, long volumes are read as far as somebody asks', async t => {
  const folder = t.testdir()
  const sparse = (name: string, shape: number[]): string => {
    const path = join(folder, name)
    writeFileSync(
      path,
      rawNifti({ ...content, version: 2, dims: shape, datatype: 2, bits: 8, voxels: new Uint8Array(0) }),
    )
    truncateSync(path, 544 + shape.reduce((product, n) => product * n, 1))
    return path
  }
  await t.rejects(openNifti(sparse('plane.nii', [40000, 40000, 1])), {
    code: 'ERR_VOLUME',
    message: /planes of at most 536870912 voxels, found 40000 x 40000/,
  })
  const { volume } = await openNifti(sparse('long.nii', [1000, 1000, 1000000]))
  const before = process.memoryUsage().arrayBuffers
  for await (const slab of volume.slabs()) {
    t.ok(process.memoryUsage().arrayBuffers - before < 2e7, `${slab.planes} planes of a million`)
    break
  }
  t.same([...(await volume.region!([3, 3, 999999], [2, 1, 1]))], [0, 0])
})

t.test('a region holds the voxels of its box, in every encoding', async t => {
  const folder = t.testdir()
  const draw = rng(1, 0, 0, 'regions')
  const shape: Shape3 = [13, 7, 5]
  for (const [datatype, bits] of [
    [2, 8],
    [4, 16],
    [512, 16],
    [8, 32],
    [1280, 64],
  ] as const) {
    const voxels = Uint8Array.from({ length: (shape[0] * shape[1] * shape[2] * bits) / 8 }, () => draw.integer(256))
    for (const bigEndian of [false, true]) {
      const bytes = rawNifti({ ...content, dims: shape, datatype, bits, bigEndian, slope: 0.5, intercept: -3, voxels })
      const { volume } = await openNifti(writeBytes(join(folder, 'plain.nii'), bytes))
      const zipped = await openNifti(writeBytes(join(folder, 'zipped.nii.gz'), bytes))
      t.equal(zipped.volume.region, undefined)
      const whole = await materialise(zipped.volume)
      let worst = 0
      for (let i = 0; i < 30; i++) {
        const start = shape.map(n => draw.integer(n)) as unknown as Shape3
        const size = shape.map((n, axis) => 1 + draw.integer(n - start[axis]!)) as unknown as Shape3
        const found = await volume.region!(start, size)
        worst = Math.max(worst, maxDifference(found, cropVoxels(whole, shape, { start, shape: size })))
      }
      t.equal(worst, 0, `datatype ${datatype}, ${bigEndian ? 'big' : 'little'}-endian`)
    }
  }
})

t.test('a region outside is refused, and of NaN only that inside counts', async t => {
  const voxels = new Float32Array(4 * 3 * 2)
  voxels[5] = NaN // (1, 1, 0)
  const bytes = rawNifti({ ...content, dims: [4, 3, 2], datatype: 16, bits: 32, voxels: new Uint8Array(voxels.buffer) })
  const path = writeBytes(join(t.testdir(), 'nan.nii'), bytes)
  const region = (await openNifti(path)).volume.region!
  await t.rejects(region([3, 0, 0], [2, 1, 1]), { code: 'ERR_VOLUME', message: /expected a box inside 4 x 3 x 2/ })
  await t.rejects(region([1, 0, 0], [2, 2, 2]), { code: 'ERR_VOLUME', message: /found 1 that .* voxel \(1, 1, 0\)/ })
  t.equal((await region([2, 0, 0], [2, 2, 2])).length, 8)
  const label = (await openNifti(path, { finite: false })).volume
  t.same([...(await label.region!([0, 1, 0], [2, 1, 1]))], [0, NaN])
})
