import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { apply, invert } from '../../../imaging/affine.ts'
import { arrange } from '../../../imaging/dicom/arrange.ts'
import { readHeader } from '../../../imaging/dicom/header.ts'
import { openSeries } from '../../../imaging/dicom/series.ts'
import { sliceOf } from '../../../imaging/dicom/slice.ts'
import { resample } from '../../../imaging/resample.ts'
import { openScan } from '../../../imaging/scan-file.ts'
import { spacedGrid } from '../../../imaging/spacing.ts'
import { materialise } from '../../../imaging/volume.ts'
import { codeOf } from '../../../pipeline/errors.ts'
import { rng } from '../../../pipeline/random.ts'
import {
  deflated,
  explicitBig,
  implicitLittle,
  shorts,
  sliceFile,
  writeSeries,
  type Elements,
  type SliceFile,
} from '../../support/dicom.ts'
import { readNrrd } from '../../support/nrrd.ts'
import { sharedPath } from '../../support/shared.ts'

const real = sharedPath('data', 'dicom', 'cip-ct64')
const noData = real === undefined && 'no ../shared/data/dicom'

t.test('a real series is the volume that is stored beside it, voxel for voxel', { skip: noData }, async t => {
  const expected = readNrrd(sharedPath('data', 'dicom', 'cip_ct-64.nrrd')!)
  const scan = await openScan(real!)
  t.same(scan.grid.shape, expected.grid.shape)
  // Its positions have six digits.
  const apart = scan.grid.affine.map((value, i) => Math.abs(value - expected.grid.affine[i]!))
  t.ok(Math.max(...apart) < 5e-4, `affine within ${Math.max(...apart)} mm`)
  const voxels = await materialise(scan.volume)
  t.equal(
    voxels.findIndex((value, i) => value !== expected.voxels[i]),
    -1,
  )
  t.same(scan.notes, [])
  t.equal(scan.storedBytes, 64 * 64 * 79 * 2)
})

t.test('names and times of files change nothing', { skip: noData }, async t => {
  const folder = t.testdir()
  const names = readdirSync(real!)
  names.forEach((name, i) => copyFileSync(join(real!, name), join(folder, `${(i * 37) % names.length}`)))
  writeFileSync(join(folder, 'DICOMDIR'), sliceFile())
  writeFileSync(join(folder, 'notes.txt'), 'not a slice')
  writeFileSync(join(folder, '.DS_Store'), 'nor this')
  writeFileSync(join(folder, 'README'), 'nor this')
  const [one, other] = [await openScan(real!), await openScan(folder)]
  t.same(other.grid, one.grid)
  t.ok(
    Buffer.from((await materialise(other.volume)).buffer).equals(Buffer.from((await materialise(one.volume)).buffer)),
  )
  t.same(other.volume.series!.instances, one.volume.series!.instances)
})

const counted = (k: number): Uint8Array => shorts(Array.from({ length: 12 }, (_, i) => 100 * k + i - 50))

t.test('columns, rows and slices lie where orientation and spacing put them', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 3, k => ({ pixels: counted(k) }))
  const scan = await openScan(folder)
  t.same(scan.grid.shape, [4, 3, 3])
  // PixelSpacing 0.75\\0.5 is rows, then columns; x and y of LPS turn round.
  t.same(scan.grid.affine, [-0.5, 0, 0, 10, 0, -0.75, 0, 20, 0, 0, 2, 30, 0, 0, 0, 1])
  t.same([...(await materialise(scan.volume))].slice(12, 16), [50, 51, 52, 53])
  t.same([...(await scan.volume.region!([1, 1, 1], [2, 2, 2]))], [55, 56, 59, 60, 155, 156, 159, 160])
  const { instances, position } = { instances: scan.volume.series!.instances, position: '-10\\-20\\32' }
  t.match(instances[1], { instanceUid: '1.2.3.4.1', position })
})

// Coronal: rows run to the left, columns downwards; the normal is along y.
const coronal = (k: number): SliceFile => ({
  position: [0, 50 - 3 * k, 0],
  elements: { 0x00200037: ['DS', '1\\0\\0\\0\\0\\-1'] },
  pixels: counted(k),
})

t.test('slices are sorted along the normal of any orientation', async t => {
  const scan = await openScan(writeSeries(join(t.testdir(), 'ct'), 3, coronal))
  t.same(scan.grid.affine, [-0.5, 0, 0, 0, 0, 0, -3, -44, 0, -0.75, 0, 0, 0, 0, 0, 1])
  t.equal((await materialise(scan.volume))[0], 150, 'the last one lies first')
})

t.test('slope and intercept belong to each slice', async t => {
  const scan = await openScan(
    writeSeries(join(t.testdir(), 'ct'), 2, k => ({
      pixels: shorts(Array.from({ length: 12 }, () => 10)),
      elements: { 0x00281053: ['DS', String(k + 0.5)], 0x00281052: ['DS', '-1024'] },
    })),
  )
  const voxels = await materialise(scan.volume)
  t.same([voxels[0], voxels[12]], [-1019, -1009])
})

const bits = (allocated: number, stored: number, isSigned: boolean, highBit = stored - 1): Elements => ({
  0x00280100: ['US', allocated],
  0x00280101: ['US', stored],
  0x00280102: ['US', highBit],
  0x00280103: ['US', isSigned ? 1 : 0],
})

t.test('voxels of all widths and orders', async t => {
  const values = [0, 1, 2, -1, -2048, 2047, 7, 8, 9, 10, 11, 12]
  const spare = values.map(value => (value & 0xfff) | 0xa000)
  const wide = values.map(value => (value & 0xfff) << 4)
  const unsigned = values.map(value => value & 0xfff)
  const long = Uint8Array.from(new Uint8Array(Int32Array.from(values).buffer))
  const variants: [string, SliceFile, number[]][] = [
    ['implicit', { syntax: implicitLittle, pixels: shorts(values) }, values],
    ['big endian', { syntax: explicitBig, pixels: shorts(values, true) }, values],
    ['deflated', { syntax: deflated, pixels: shorts(values) }, values],
    ['16 bits without a sign', { elements: bits(16, 16, false), pixels: shorts(values) }, values.map(v => v & 0xffff)],
    ['12 of 16 bits, others beside', { elements: bits(16, 12, true), pixels: shorts(spare) }, values],
    ['12 of 16 bits, no sign', { elements: bits(16, 12, false), pixels: shorts(spare) }, unsigned],
    ['12 bits, the upper ones', { elements: bits(16, 12, true, 15), pixels: shorts(wide) }, values],
    ['12 bits, big endian', { syntax: explicitBig, elements: bits(16, 12, true), pixels: shorts(spare, true) }, values],
    ['8 bits', { elements: bits(8, 8, false), pixels: Uint8Array.from(values) }, values.map(v => v & 0xff)],
    [
      '8 bits with a sign',
      { elements: bits(8, 8, true), pixels: Uint8Array.from(values) },
      values.map(v => (v << 24) >> 24),
    ],
    ['32 bits', { elements: bits(32, 32, true), pixels: long }, values],
  ]
  for (const [name, slice, expected] of variants) {
    const folder = writeSeries(join(t.testdir(), name), 2, () => slice)
    t.same([...(await materialise((await openScan(folder)).volume))], [...expected, ...expected], name)
  }
})

t.test('a slice alone is a volume of one plane, as thick as it is', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 1)
  for (const path of [folder, join(folder, 'IM0.dcm')]) {
    const { grid } = await openScan(path)
    t.same(grid.shape, [4, 3, 1])
    t.equal(grid.affine[10], 2.5)
  }
  const thin = writeSeries(join(t.testdir(), 'thin'), 1, () => ({ elements: { 0x00180050: undefined } }))
  await t.rejects(openScan(thin), { code: 'ERR_VOLUME', message: /SliceThickness/ })
})

const tilted = (k: number): SliceFile => ({ position: [-10, -20 + k * 0.5, 30 + k * 2] })

t.test('a tilted gantry gives the sheared grid that it scanned', async t => {
  const scan = await openScan(writeSeries(join(t.testdir(), 'ct'), 4, tilted))
  t.same(scan.grid.affine, [-0.5, 0, 0, 10, 0, -0.75, -0.5, 20, 0, 0, 2, 30, 0, 0, 0, 1])
  t.match(scan.notes, [/tilted by 14\.04 degrees/])
})

t.test('resampled to a straight grid, a tilted scan shows what lay where', async t => {
  // HU are ten times the position along y, in RAS; rows are 0.75 mm apart, slices 2 mm and 0.5 mm along y.
  const size = { rows: 40, columns: 6 }
  const slice = (k: number): SliceFile => ({
    ...tilted(k),
    ...size,
    elements: { 0x00281053: ['DS', '0.1'] },
    pixels: shorts(Array.from({ length: 240 }, (_, i) => -100 * (-20 + 0.5 * k + 0.75 * Math.floor(i / 6)))),
  })
  const scan = await openScan(writeSeries(join(t.testdir(), 'ct'), 6, slice))
  const target = spacedGrid(scan.grid, [0.5, 0.75, 2])
  t.ok(
    [1, 2, 4, 6, 8, 9].every(i => Math.abs(target.affine[i]!) < 1e-12),
    'the grid is straight',
  )
  const voxels = await materialise(resample(scan.volume, target, 'linear'))
  const [nx, ny, nz] = target.shape
  let compared = 0
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const world = apply(target.affine, 2, y, z)
      const row = apply(invert(scan.grid.affine), ...world)[1]
      // Beside what was scanned there is nothing to compare.
      if (row < 0 || row > size.rows - 1) continue
      compared++
      const found = voxels[(z * ny + y) * nx + 2]!
      if (Math.abs(found - 10 * world[1]) > 1e-3) t.fail(`${world.join(', ')}: ${found}`)
    }
  }
  t.ok(compared > 150, `${compared} voxels`)
})

t.test('copies of a slice are dropped where they are equal, byte for byte', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 4, k => ({ pixels: counted(k) }))
  copyFileSync(join(folder, 'IM2.dcm'), join(folder, 'IM2 copy.dcm'))
  const scan = await openScan(folder)
  t.same(scan.grid.shape, [4, 3, 4])
  t.match(scan.notes, [/1 slices were there twice, .*IM2/])
  writeFileSync(join(folder, 'IM2 copy.dcm'), sliceFile({ position: [-10, -20, 34], uid: '1.2.3.4.2' }))
  await t.rejects(openScan(folder), { code: 'ERR_VOLUME', message: /found 1 that lie upon others \(IM2/ })
})

t.test('files that go while they are looked at are an error with their path', async t => {
  await t.rejects(openSeries(join(t.testdir(), 'gone')), { code: 'ERR_FILE', message: /gone: .*nothing there/ })
  const folder = writeSeries(join(t.testdir(), 'ct'), 2)
  copyFileSync(join(folder, 'IM1.dcm'), join(folder, 'IM1 copy.dcm'))
  const paths = readdirSync(folder).map(name => join(folder, name))
  const slices = await Promise.all(paths.map(async path => sliceOf(await readHeader(path))))
  rmSync(join(folder, 'IM1 copy.dcm'))
  await t.rejects(arrange(slices, folder), { code: 'ERR_FILE', message: /IM1 copy\.dcm: .*nothing there/ })
})

t.test('however many slices lie in a slab, few files are open at a time', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 300)
  const series = new URL('../../../imaging/dicom/series.js', import.meta.url).href
  const code = `
    import { openSeries } from ${JSON.stringify(series)}
    const { volume } = await openSeries(${JSON.stringify(folder)})
    let planes = 0
    for await (const slab of volume.slabs()) planes += slab.planes
    console.log(planes)`
  const limited = ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', code]
  const { stdout, stderr } = spawnSync('sh', limited, { encoding: 'utf8' })
  t.equal(stdout.trim(), '300', stderr)
})

t.test('a pipe in the folder is no slice, and nobody waits for it', { timeout: 20_000 }, async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 2)
  execFileSync('mkfifo', [join(folder, 'pipe'), join(folder, 'pipe.dcm')])
  t.same((await openScan(folder)).grid.shape, [4, 3, 2])
})

t.test('MONOCHROME1 is about display: its HU are taken as they are', async t => {
  const scan = await openScan(
    writeSeries(join(t.testdir(), 'ct'), 2, k => ({
      pixels: counted(k),
      elements: { 0x00280004: ['CS', 'MONOCHROME1'] },
    })),
  )
  t.equal((await materialise(scan.volume))[0], -50)
  t.match(scan.notes, [/2 slices are MONOCHROME1/])
})

const refused: [title: string, (k: number) => SliceFile, RegExp, code?: string][] = [
  [
    'missing slices',
    k => ({ position: [-10, -20, k < 3 ? 2 * k : 2 * k + 4] }),
    /2 slices missing: 6 mm between IM2\.dcm and IM3\.dcm, 2 missing/,
  ],
  [
    'uneven distances',
    k => ({ position: [-10, -20, k < 3 ? 2 * k : 2 * k + 0.7] }),
    /slices 2 mm apart.*2\.7 mm between IM2\.dcm and IM3\.dcm;/,
  ],
  [
    'distances that creep',
    k => ({ position: [-10, -20, k < 3 ? 20 * k : 40 + 20.19 * (k - 2)] }),
    /IM\d\.dcm .* mm beside it/,
  ],
  ['a patient who moved', k => ({ position: [k < 3 ? -10 : -9, -20, 2 * k] }), /IM\d\.dcm .* mm beside it/],
  [
    'mixed series',
    k => (k === 2 ? { elements: { 0x0020000e: ['UI', '9.9'], 0x0008103e: ['LO', 'Scout'] } } : {}),
    /found 2: 1\.2\.3\.1 \(CT, "Thorax 1\.0", 5 files\), 9\.9 \(CT, "Scout", IM2\.dcm\)/,
  ],
  ['several volumes', k => ({ position: [-10, -20, 2 * (k % 3)] }), /found 3 that lie upon others/],
  [
    'different sizes',
    k => (k === 1 ? { rows: 5 } : {}),
    /found 2 extents: 4 x 3 voxels in 5 slices \(IM0\.dcm \.\.\.\), 4 x 5 voxels in 1 slices \(IM1\.dcm\)/,
  ],
  [
    'a localizer',
    k => (k === 0 ? { elements: { 0x00200037: ['DS', '1\\0\\0\\0\\0\\-1'] } } : {}),
    /2 orientations.*in 1 slices \(IM0\.dcm\)/,
  ],
  ['different spacings', k => (k === 4 ? { elements: { 0x00280030: ['DS', '0.75\\0.6'] } } : {}), /2 pixel spacings/],
  [
    'no position',
    k => (k === 3 ? { elements: { 0x00200032: undefined } } : {}),
    /IM3\.dcm: expected 3 numbers in ImagePositionPatient .*found none/,
  ],
  [
    'half an orientation',
    () => ({ elements: { 0x00200037: ['DS', '1\\0\\0'] } }),
    /6 numbers in ImageOrientationPatient .*found 1\\0\\0/,
  ],
  ['skewed directions', () => ({ elements: { 0x00200037: ['DS', '1\\0\\0\\1\\0\\0'] } }), /right angle/],
  ['no spacing', () => ({ elements: { 0x00280030: ['DS', '0\\0.5'] } }), /PixelSpacing above 0/],
  ['no HU', () => ({ elements: { 0x00281053: undefined } }), /RescaleSlope and RescaleIntercept.*none and 0/],
  ['a table for HU', () => ({ elements: { 0x00283000: ['SQ', new Uint8Array(0)] } }), /ModalityLUTSequence/],
  ['a slope that is no number', () => ({ elements: { 0x00281053: ['DS', 'one'] } }), /RescaleSlope/],
  [
    'colours',
    () => ({ elements: { 0x00280002: ['US', 3], 0x00280004: ['CS', 'RGB'] } }),
    /one value per voxel.*3 \(RGB\)/,
  ],
  ['a palette', () => ({ elements: { 0x00280004: ['CS', 'PALETTE COLOR'] } }), /PALETTE COLOR/],
  ['bits that do not fit', () => ({ elements: { 0x00280101: ['US', 17] } }), /17 bits stored in 16/],
  [
    '1 bit',
    () => ({ elements: { 0x00280100: ['US', 1], 0x00280101: ['US', 1], 0x00280102: ['US', 0] } }),
    /8, 16 or 32 bits/,
  ],
  [
    'several frames',
    () => ({ elements: { 0x00080016: ['UI', '1.2.840.10008.5.1.4.1.1.2.1'], 0x00280008: ['IS', '40'] } }),
    /an Enhanced CT Image of 40 frames/,
  ],
  [
    'an unknown syntax',
    () => ({ syntax: '1.2.840.10008.1.2.4.201' }),
    /High-Throughput JPEG 2000, Lossless \(1\.2\.840\.10008\.1\.2\.4\.201\).*decompress/,
  ],
  [
    'a report',
    k => (k === 5 ? { elements: { 0x00280010: undefined, 0x00080060: ['CS', 'SR'] } } : {}),
    /IM5\.dcm: expected an image with Rows and Columns, found SR/,
  ],
  [
    'too few pixels',
    k => (k === 2 ? { pixels: new Uint8Array(20) } : {}),
    /IM2\.dcm: expected 24 bytes of pixels, found 20/,
    'ERR_FILE',
  ],
  [
    'too many pixels',
    k => (k === 2 ? { pixels: new Uint8Array(48) } : {}),
    /IM2\.dcm: expected 24 bytes of pixels.*found 48/,
  ],
]
t.test('what is no volume of HU is refused with numbers', async t => {
  for (const [title, slice, message, code = 'ERR_VOLUME'] of refused) {
    const folder = writeSeries(join(t.testdir(), title), 6, slice)
    await t.rejects(openScan(folder), { code, message }, title)
  }
})

t.test('files that are damaged, or no DICOM', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 3)
  const damaged = join(folder, 'IM1.dcm')
  const whole = sliceFile({ position: [-10, -20, 32], uid: '1.2.3.4.1' })
  for (let bytes = 0; bytes < whole.length; bytes += 7) {
    writeFileSync(damaged, whole)
    truncateSync(damaged, bytes)
    await t.rejects(openScan(folder), { message: /IM1\.dcm/ }, `cut to ${bytes} bytes`)
  }
  writeFileSync(damaged, 'a text with the wrong name')
  await t.rejects(openScan(folder), { code: 'ERR_FILE', message: /IM1\.dcm: expected a DICOM file .*26 bytes/ })
  const empty = join(t.testdir(), 'empty')
  mkdirSync(empty)
  await t.rejects(openScan(empty), { code: 'ERR_FILE', message: /found none in it/ })
  await t.rejects(openScan(join(empty, 'missing')), { code: 'ERR_FILE', message: /nothing there/ })
})

t.test('whatever the bytes are, a file is a scan or an error with a code', async t => {
  const path = join(t.testdir(), 'any.dcm')
  const codes = new Map<string | undefined, number>()
  for (const syntax of [implicitLittle, explicitBig, deflated]) {
    const whole = sliceFile({ syntax, pixels: counted(1) })
    for (let n = 0; n < 150; n++) {
      const random = rng(5, 0, n, syntax)
      const bytes = Buffer.from(whole)
      for (let k = 0; k < 3; k++) bytes[132 + random.integer(bytes.length - 132)] = random.integer(256)
      writeFileSync(path, bytes)
      const code = await openScan(path).then(async ({ volume }) => (await materialise(volume), 'a scan'), codeOf)
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
  }
  t.same([...codes.keys()].toSorted(), ['ERR_FILE', 'ERR_VOLUME', 'a scan'])
})

t.test('a slice that changes while the series is read is an error', async t => {
  const folder = writeSeries(join(t.testdir(), 'ct'), 3)
  const { volume } = await openScan(folder)
  utimesSync(join(folder, 'IM1.dcm'), 1, 1)
  await t.rejects(materialise(volume), { code: 'ERR_FILE', message: /IM1\.dcm: has changed/ })
})

t.test('links to slices are read', async t => {
  const dir = t.testdir()
  const folder = writeSeries(join(dir, 'ct'), 2)
  const other = join(dir, 'links')
  mkdirSync(other)
  for (const name of readdirSync(folder)) symlinkSync(join(folder, name), join(other, name))
  t.same((await openScan(other)).grid, (await openScan(folder)).grid)
})
