import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { openNifti } from '../../imaging/nifti-read.ts'
import { orient } from '../../imaging/orient.ts'
import { materialise } from '../../imaging/volume.ts'
import { int16, rawNifti, writeBytes, type RawNifti } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'
import { sharedPath } from '../support/shared.ts'

const small: RawNifti = {
  dims: [2, 1, 3],
  pixdims: [0.7, 0.8, 2.5],
  datatype: 4,
  bits: 16,
  voxels: int16(-1000, -1, 0, 1, 40, 3000),
  sform: { code: 1, rows: [-0.7, 0, 0, 10, 0, -0.8, 0, 20, 0, 0, 2.5, -30] },
}
const values = [-1000, -1, 0, 1, 40, 3000]

async function read(path: string, options = {}): Promise<Float32Array> {
  return materialise((await openNifti(path, options)).volume)
}

t.test('every stored type gives its values, in either byte order, plain and gzipped, in both versions', async t => {
  const folder = t.testdir()
  const types: [number, string, number, number[]][] = [
    [2, 'Uint8', 1, [0, 1, 2, 100, 200, 255]],
    [256, 'Int8', 1, [-128, -1, 0, 1, 100, 127]],
    [4, 'Int16', 2, values],
    [512, 'Uint16', 2, [0, 1, 2, 100, 40000, 65535]],
    [8, 'Int32', 4, [-(2 ** 31), -1, 0, 1, 100, 2 ** 30]],
    [768, 'Uint32', 4, [0, 1, 2, 100, 40000, 2 ** 32 - 256]],
    [1024, 'BigInt64', 8, [-(2 ** 40), -1, 0, 1, 100, 2 ** 50]],
    [1280, 'BigUint64', 8, [0, 1, 2, 100, 2 ** 40, 2 ** 63]],
    [16, 'Float32', 4, [-1000.5, -1, 0, 1e-20, 40.25, 3e30]],
    [64, 'Float64', 8, [-1000.5, -1, 0, 1e-20, 40.25, 2 ** 60]],
  ]
  for (const [datatype, name, width, numbers] of types) {
    for (const bigEndian of [false, true]) {
      for (const version of [1, 2] as const) {
        const voxels = new Uint8Array(width * 6)
        const view = new DataView(voxels.buffer)
        numbers.forEach((value, i) => {
          if (name === 'BigInt64') view.setBigInt64(i * 8, BigInt(value), !bigEndian)
          else if (name === 'BigUint64') view.setBigUint64(i * 8, BigInt(value), !bigEndian)
          else view[`set${name}` as 'setInt16'](i * width, value, !bigEndian)
        })
        const bytes = rawNifti({ ...small, version, bigEndian, datatype, bits: width * 8, voxels })
        for (const ending of ['nii', 'nii.gz']) {
          const path = writeBytes(join(folder, `${name}-${bigEndian}-${version}.${ending}`), bytes)
          const found = await read(path)
          t.same(
            [...found],
            [...Float32Array.from(numbers)],
            `${name}, ${bigEndian ? 'big' : 'little'}-endian, NIfTI-${version}, ${ending}`,
          )
        }
      }
    }
  }
})

t.test('scl_slope and scl_inter apply, except where the slope is 0 or not a number', async t => {
  const folder = t.testdir()
  const scaled = async (slope: number, intercept: number): Promise<number[]> => [
    ...(await read(writeBytes(join(folder, 'scaled.nii'), rawNifti({ ...small, slope, intercept })))),
  ]
  t.same(
    await scaled(2, -24),
    values.map(value => value * 2 - 24),
  )
  t.same(
    await scaled(0.1, 0.25),
    [...Float32Array.from(values, value => value * 0.1 + 0.25)],
    'computed in float64, rounded once',
  )
  t.same(await scaled(0, 7), values)
  t.same(await scaled(NaN, 7), values)
  t.same(await scaled(Infinity, 7), values)
  await t.rejects(scaled(2, NaN), { code: 'ERR_VOLUME', message: /finite scl_inter/ })
})

t.test('sform wins over qform over pixdims; the one that contradicts the pixdims yields', async t => {
  const folder = t.testdir()
  const affineOf = async (content: Partial<RawNifti>): Promise<readonly number[]> =>
    (await openNifti(writeBytes(join(folder, 'affine.nii'), rawNifti({ ...small, ...content })))).grid.affine
  const close = (found: readonly number[], expected: number[], name: string): void =>
    void t.ok(maxDifference(found, expected) < 1e-6, `${name}: ${found.join(' ')}`)
  const lps = [-0.7, 0, 0, 10, 0, -0.8, 0, 20, 0, 0, 2.5, -30, 0, 0, 0, 1]
  const las = [-0.7, 0, 0, 1, 0, 0.8, 0, 2, 0, 0, 2.5, 3, 0, 0, 0, 1]
  const sform = small.sform!
  const qform = { code: 1, quatern: [0, 1, 0, 1, 2, 3], qfac: -1 }
  close(await affineOf({ qform }), lps, 'both')
  close(await affineOf({ qform: { ...qform, code: 4 } }), lps, 'both, the qform with a higher code')
  close(await affineOf({ qform, sform: { ...sform, code: 0 } }), las, 'qform only')
  const base = [-0.7, 0, 0, 0.35, 0, 0.8, 0, 0, 0, 0, 2.5, -2.5, 0, 0, 0, 1]
  close(await affineOf({ sform: { ...sform, code: 0 } }), base, 'neither')
  close(
    await affineOf({ qform, sform: { code: 1, rows: sform.rows.map(value => value * 2) } }),
    las,
    'sform of other lengths',
  )
  close(await affineOf({ qform, sform: { code: 1, rows: [NaN, ...sform.rows.slice(1)] } }), las, 'NaN in the sform')
  close(await affineOf({ pixdims: [-0.7, -0.8, -2.5] }), lps, 'negative pixdims')
  close(await affineOf({ pixdims: [0, 0, 0] }), lps, 'no pixdims')
})

t.test('geometry that makes no sense is refused with what was found', async t => {
  const folder = t.testdir()
  const refused = (content: Partial<RawNifti>, message: RegExp, code = 'ERR_VOLUME'): Promise<unknown> =>
    t.rejects(openNifti(writeBytes(join(folder, 'refused.nii'), rawNifti({ ...small, ...content }))), { code, message })
  const rows = small.sform!.rows
  await refused({ sform: { code: 1, rows: [NaN, ...rows.slice(1)] } }, /finite numbers in the sform/)
  await refused({ sform: { code: 1, rows: [0, 0, 0, 0, ...rows.slice(4)] } }, /between 0.001 and 1000 mm, found 0 x/)
  await refused({ sform: { code: 1, rows: [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0] } }, /singular/)
  await refused({ sform: { code: 0, rows }, pixdims: [1, NaN, 1] }, /pixdim/)
  await refused({ sform: { code: 0, rows }, pixdims: [1, 0, 1] }, /found 1 x 0 x 1 .*pixdim/)
  await refused({ sform: { code: 1, rows: rows.map(value => value * 1e4) } }, /between 0.001 and 1000 mm/)
  await refused({ rank: 9 }, /found 9/)
  await refused({ dims: [2, 3] }, /3-D volume, found 2 dimensions/)
  await refused({ dims: [2, 0, 3] }, /at least 1/)
  await refused({ dims: [2, -1, 3] }, /at least 1/)
  await refused({ datatype: 32 }, /complex64/)
  await refused({ datatype: 128 }, /RGB24/)
  await refused({ datatype: 1536 }, /float128/)
  await refused({ offset: 100 }, /vox_offset 100/, 'ERR_FILE')
  await refused({ magic: 'abc' }, /found "abc"/, 'ERR_FILE')
  await refused({ version: 2, dims: [2 ** 40, 2 ** 40, 2 ** 40] }, /a computer can hold/)
})

t.test('a header that claims more than the file can hold is refused before anything is allocated', async t => {
  const folder = t.testdir()
  const claims: RawNifti = { ...small, version: 2, dims: [100000, 100000, 100000] }
  await t.rejects(openNifti(writeBytes(join(folder, 'claims.nii'), rawNifti(claims))), {
    code: 'ERR_FILE',
    message: /expected 2000000000000544 bytes/,
  })
  await t.rejects(openNifti(writeBytes(join(folder, 'claims.nii.gz'), rawNifti(claims))), {
    code: 'ERR_FILE',
    message: /cannot hold/,
  })
})

t.test('truncated and corrupted files are refused', async t => {
  const folder = t.testdir()
  // Noise, so that a cut is in the middle of the voxels and not in a header of a deflate block.
  const noise = Uint8Array.from({ length: 2 * 64 * 64 * 64 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24)
  const bytes = rawNifti({ ...small, dims: [64, 64, 64], voxels: noise })
  const gz = gzipSync(bytes)
  const path = join(folder, 'cut.nii.gz')
  for (const length of [10, 200, gz.length >> 1, gz.length - 8, gz.length - 1]) {
    writeFileSync(path, gz.subarray(0, length))
    await t.rejects(read(path), { code: 'ERR_FILE' }, `${length} of ${gz.length} bytes`)
  }
  for (const at of [gz.length >> 1, gz.length - 6, gz.length - 2]) {
    const flipped = Buffer.from(gz)
    flipped[at]! ^= 1
    writeFileSync(path, flipped)
    await t.rejects(read(path), { code: 'ERR_FILE', message: /damaged|truncated/ }, `a bit of byte ${at}`)
  }
  writeFileSync(path, gzipSync(bytes.subarray(0, bytes.length - 100)))
  await t.rejects(
    read(path),
    { code: 'ERR_FILE', message: /expected 524288 bytes of voxels, found 524188/ },
    'a whole gzip stream with voxels missing',
  )
  const plain = writeBytes(join(folder, 'cut.nii'), bytes)
  const { volume } = await openNifti(plain)
  truncateSync(plain, bytes.length - 1)
  await t.rejects(openNifti(plain), { code: 'ERR_FILE', message: /expected 524640 bytes .*found 524639/ })
  await t.rejects(materialise(volume), { code: 'ERR_FILE', message: /has changed/ }, 'cut after the header was read')
  rmSync(plain)
  await t.rejects(materialise(volume), { code: 'ERR_FILE', message: /nothing there/ }, 'gone after the header was read')
})

t.test('gzip in several members, with trailing zeros, under a plain name', async t => {
  const folder = t.testdir()
  const noise = Uint8Array.from({ length: 2 * 100 * 100 * 50 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24)
  const bytes = rawNifti({ ...small, dims: [100, 100, 50], voxels: noise })
  const expected = await read(writeBytes(join(folder, 'plain.nii'), bytes))
  for (const members of [1, 2, 7, 400]) {
    t.equal(
      maxDifference(await read(writeBytes(join(folder, `${members}.nii.gz`), bytes, members)), expected),
      0,
      `${members} members`,
    )
  }
  writeFileSync(join(folder, 'zeros.nii.gz'), Buffer.concat([gzipSync(bytes), Buffer.alloc(1 << 20)]))
  t.equal(maxDifference(await read(join(folder, 'zeros.nii.gz')), expected), 0, 'a mebibyte of zeros after the stream')
  writeFileSync(join(folder, 'plain-name.nii'), gzipSync(bytes))
  t.equal(maxDifference(await read(join(folder, 'plain-name.nii')), expected), 0, 'gzip that is called .nii')
  writeFileSync(join(folder, 'gz-name.nii.gz'), bytes)
  t.equal(maxDifference(await read(join(folder, 'gz-name.nii.gz')), expected), 0, 'no gzip, but called .gz')
})

t.test('a volume larger than a slab comes in ascending slabs, twice the same', async t => {
  const dims = [300, 200, 60]
  const voxels = new Uint8Array(2 * 300 * 200 * 60)
  new Int16Array(voxels.buffer).forEach((_, i, all) => (all[i] = i % 4001))
  const path = writeBytes(join(t.testdir(), 'large.nii.gz'), rawNifti({ ...small, dims, voxels }))
  const { volume } = await openNifti(path)
  for (const pass of [1, 2]) {
    const starts: number[] = []
    let next = 0
    for await (const slab of volume.slabs()) {
      t.equal(slab.z, next)
      starts.push(slab.z)
      next += slab.planes
      t.equal(slab.voxels[0], (slab.z * 60000) % 4001)
      t.equal(slab.voxels.length, slab.planes * 60000)
    }
    t.ok(starts.length > 1, `pass ${pass}: ${starts.length} slabs`)
    t.equal(next, 60)
  }
  for await (const slab of volume.slabs()) {
    t.equal(slab.z, 0, 'a reader may stop after the first slab')
    break
  }
})

t.test('NaN and infinity in an image are an error with their place, in a label they are handed on', async t => {
  const stored = new Float32Array([0, 1, NaN, 3, Infinity, 5])
  const path = writeBytes(
    join(t.testdir(), 'nan.nii'),
    rawNifti({ ...small, datatype: 16, bits: 32, voxels: new Uint8Array(stored.buffer) }),
  )
  await t.rejects(read(path), {
    code: 'ERR_VOLUME',
    message: /found 2 that are NaN or infinite .*first at voxel \(0, 0, 1\)/,
  })
  t.same(await read(path, { finite: false }), stored)
})

t.test('several volumes are told in the header and refused when pulled', async t => {
  const folder = t.testdir()
  const bytes = rawNifti({ ...small, dims: [2, 1, 1, 3] })
  const image = await openNifti(writeBytes(join(folder, 'four.nii'), bytes))
  t.equal(image.volumes, 3)
  await t.rejects(materialise(image.volume), { code: 'ERR_VOLUME', message: /found 3 in one file/ })
  const single = await openNifti(writeBytes(join(folder, 'one.nii'), rawNifti({ ...small, dims: [2, 1, 3, 1, 1] })))
  t.same([...(await materialise(single.volume))], values, 'trailing dimensions of 1 are no matter')
})

t.test('pairs are found from either name, plain or gzipped', async t => {
  const folder = t.testdir()
  const header = rawNifti({ ...small, magic: 'ni1', offset: 0 }).subarray(0, 348)
  writeFileSync(join(folder, 'pair.hdr'), header)
  await t.rejects(openNifti(join(folder, 'pair.hdr')), { code: 'ERR_FILE', message: /copy the \.img beside it/ })
  writeFileSync(join(folder, 'pair.img'), small.voxels)
  t.same([...(await read(join(folder, 'pair.hdr')))], values)
  t.same([...(await read(join(folder, 'pair.img')))], values)
  writeFileSync(join(folder, 'zipped.hdr.gz'), gzipSync(header))
  writeFileSync(join(folder, 'zipped.img.gz'), gzipSync(small.voxels))
  t.same([...(await read(join(folder, 'zipped.img.gz')))], values)
})

t.test('what is no NIfTI file is named', async t => {
  const folder = t.testdir({
    'text.nii': 'hello',
    'empty.nii.gz': '',
    'zip.nii': 'PK\x03\x04....',
    'bz.nii.gz': 'BZh91AY',
  })
  await t.rejects(openNifti(join(folder, 'text.nii')), { code: 'ERR_FILE', message: /bytes 68 65 6c 6c/ })
  await t.rejects(openNifti(join(folder, 'empty.nii.gz')), { code: 'ERR_FILE', message: /empty file/ })
  await t.rejects(openNifti(join(folder, 'zip.nii')), { code: 'ERR_FILE', message: /zip archive/ })
  await t.rejects(openNifti(join(folder, 'bz.nii.gz')), { code: 'ERR_FILE', message: /bzip2/ })
  await t.rejects(openNifti(join(folder, 'none.nii')), { code: 'ERR_FILE', message: /nothing there/ })
  mkdirSync(join(folder, 'folder.nii'))
  await t.rejects(openNifti(join(folder, 'folder.nii')), { code: 'ERR_FILE', message: /directory/ })
})

t.test(
  'a file that may not be read says so',
  { skip: process.getuid?.() === 0 ? 'root may read everything' : false },
  async t => {
    const path = writeBytes(join(t.testdir(), 'secret.nii'), rawNifti(small))
    chmodSync(path, 0)
    await t.rejects(openNifti(path), { code: 'ERR_FILE', message: /permission denied/ })
  },
)

function sha256(array: Uint8Array | Int16Array): string {
  return createHash('sha256').update(array).digest('hex')
}

interface Encoding {
  max_abs_hu_error: number
  label: boolean
  reorient?: boolean
  affine: number[][]
}

const encodings = sharedPath('data', 'nifti-encodings')
t.test(
  'every legal encoding of one crop decodes to the same voxels',
  encodings ? {} : { skip: 'shared data not found' },
  async t => {
    const expected = JSON.parse(readFileSync(join(encodings!, 'expected.json'), 'utf8')) as Record<string, string> & {
      files: Record<string, Encoding>
    }
    const canonical = await read(join(encodings!, 'canonical_i16.nii.gz'))
    for (const [file, { max_abs_hu_error, label, reorient, affine }] of Object.entries(expected.files)) {
      const { volume, grid } = await openNifti(join(encodings!, file))
      t.ok(maxDifference(grid.affine, affine.flat()) < 1e-6, `${file}: affine`)
      const voxels = await materialise(reorient ? orient(volume, 'LPS').volume : volume)
      if (label) t.equal(sha256(Uint8Array.from(voxels)), expected['label_sha256_u8_fortran'], file)
      else if (max_abs_hu_error === 0)
        t.equal(sha256(Int16Array.from(voxels)), expected['hu_sha256_int16_le_fortran'], file)
      else t.ok(maxDifference(voxels, canonical) <= max_abs_hu_error, `${file}: ${maxDifference(voxels, canonical)} HU`)
    }
  },
)

const damaged = sharedPath('data', 'nifti-damaged')
t.test(
  'damaged files are read whole or refused, never wrong',
  damaged ? {} : { skip: 'shared data not found' },
  async t => {
    const expected = JSON.parse(readFileSync(join(damaged!, 'expected.json'), 'utf8')) as Record<
      string,
      { note: string; must: string }
    >
    const canonical = await openNifti(sharedPath('data', 'nifti-encodings', 'canonical_i16.nii.gz')!)
    const voxels = await materialise(canonical.volume)
    for (const [file, { note, must }] of Object.entries(expected)) {
      const result = await openNifti(join(damaged!, file))
        .then(async image => ({ voxels: await materialise(image.volume), affine: image.grid.affine }))
        .catch((error: unknown) => error as { code: string; message: string })
      if ('voxels' in result) {
        t.not(must, 'refuse', `${file} (${note}) was read`)
        t.equal(maxDifference(result.voxels, voxels), 0, file)
        t.ok(maxDifference(result.affine, canonical.grid.affine) < 1e-6, `${file}: world`)
      } else {
        t.not(must, 'read', `${file} (${note}) was refused: ${result.message}`)
        t.match(result, { code: /^ERR_(FILE|VOLUME)$/, message: file }, file)
      }
    }
  },
)
