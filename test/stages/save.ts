import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import dicomParser from 'dicom-parser'
import { decode } from 'fast-png'
import highland from 'highland'
import t from 'tap'
import { orient } from '../../imaging/orient.ts'
import { lesionSegment, segmentationPieces } from '../../imaging/dicom/segmentation.ts'
import { MaskBuilder, maskOf, maskVoxels } from '../../imaging/mask.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { openScan } from '../../imaging/scan-file.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { materialise, slabBytes, type LoadedVolume } from '../../imaging/volume.ts'
import type { Case, Item, Mask, Prediction } from '../../pipeline/flow.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import type { Plan } from '../../pipeline/planned.ts'
import type { Context } from '../../pipeline/stage.ts'
import { version } from '../../pipeline/version.ts'
import { save } from '../../stages/save.ts'
import { mostAlive } from '../support/alive.ts'
import { gridOf, inSlabs, int16, rawNifti, volumeOf } from '../support/nifti.ts'
import { sharedPath } from '../support/shared.ts'
import { noMount } from '../support/small-disk.ts'
import { contextOf, nothingBefore, optionsFrom } from '../support/stage.ts'

const grid: Grid = gridOf([8, 6, 4], [1, 2, 5], [-10, 20, 30])

/** A lesion of four voxels on the right, one of one on the left. */
const voxels = Uint8Array.from({ length: 8 * 6 * 4 }, (_, at) => {
  const [x, y, z] = [at % 8, Math.floor(at / 8) % 6, Math.floor(at / 48)]
  return (x >= 5 && x <= 6 && y === 2 && z >= 1 && z <= 2) || (x === 1 && y === 4 && z === 3) ? 1 : 0
})

function predictionOf(
  fields: Partial<Prediction> & { readonly files?: readonly string[] } = {},
  id = 'ward/a/scan',
): Prediction {
  return {
    case: { id, index: 0, image: '/scans/scan.nii.gz' },
    grid,
    mask: maskOf(grid.shape, voxels),
    classes: 2,
    windows: 12,
    seconds: 3.5,
    files: [],
    ...fields,
  }
}

async function saved(json: object, prediction: Prediction, context: Partial<Context>): Promise<Prediction> {
  const transform = save.create(optionsFrom(save, { kind: 'save', ...json }), contextOf(context), nothingBefore)
  const [made] = await transform(highland<Item>([prediction]))
    .collect()
    .toPromise(Promise)
  return made as Prediction
}

/** Every file below a folder, hidden ones too. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted()
}

function json(folder: string, path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, path), 'utf8')) as Record<string, unknown>
}

t.test('names mirror the input, files are told in their order, and the mask comes back', async t => {
  const folder = t.testdir({ scratch: {} })
  const scratch = join(folder, 'scratch')
  const before = predictionOf({ files: ['masks/ward/a/scan.probabilities.nii.gz'] })
  const made = await saved({}, before, { folder, scratch, model: 'ab12' })
  t.same(made.files, [...before.files, 'masks/ward/a/scan.nii.gz', 'masks/ward/a/scan.json'])
  t.same(filesIn(folder), ['masks/ward/a/scan.json', 'masks/ward/a/scan.nii.gz'], 'nothing else is left')
  const mask = await openNifti(join(folder, 'masks/ward/a/scan.nii.gz'))
  t.same(mask.grid, grid)
  t.same([...(await materialise(mask.volume))], [...voxels])
  const { windows, seconds } = before
  t.match(json(folder, 'masks/ward/a/scan.json'), {
    case: 'ward/a/scan',
    image: '/scans/scan.nii.gz',
    shape: [8, 6, 4],
    affine: grid.affine,
    spacing: [1, 2, 5],
    classes: {
      '1': { voxels: 5, ml: 0.05, lesions: 2, largest: { voxels: 4, ml: 0.04, centreMm: [-4.5, 24, 37.5] } },
    },
    totalMl: 0.05,
    windows,
    seconds,
    model: 'ab12',
    ctflow: version(),
    notice: /Not a medical device/,
  })
  t.notOk('lungs' in json(folder, 'masks/ward/a/scan.json'), 'without a mask of the lungs nothing is said of them')
})

t.test("the scan's own geometry is copied byte for byte", async t => {
  const folder = t.testdir({})
  const rows = [0.9, 0.1, 0, -10.25, -0.1, 0.9, 0, 20.5, 0, 0, 2.5, 30]
  const scan = rawNifti({
    dims: [3, 2, 2],
    datatype: 4,
    bits: 16,
    voxels: int16(...Array.from({ length: 12 }, (_, i) => i)),
    pixdims: [0.91, 0.92, 2.53],
    sform: { code: 2, rows },
    qform: { code: 1, quatern: [0.1, 0.2, 0.3, 4, 5, 6], qfac: -1 },
  })
  writeFileSync(join(folder, 'scan.nii'), scan)
  const { grid, volume } = await openNifti(join(folder, 'scan.nii'))
  const mask = maskOf([3, 2, 2], new Uint8Array(12).fill(1))
  await saved({}, predictionOf({ grid, mask, header: (volume as { header: Uint8Array }).header }, 'turned'), { folder })
  const header = (await openNifti(join(folder, 'masks/turned.nii.gz'))).header.bytes
  // dim, pixdim, and from qform_code to srow_z.
  for (const [from, to] of [
    [40, 56],
    [76, 108],
    [252, 328],
  ])
    t.same([...header.subarray(from, to)], [...scan.subarray(from, to)], `bytes ${from} to ${to}`)
})

t.test('the same mask is the same bytes, with scratch and without', async t => {
  const folder = t.testdir({ a: {}, b: {}, scratch: {} })
  await saved({}, predictionOf(), { folder: join(folder, 'a'), scratch: join(folder, 'scratch') })
  await saved({}, predictionOf(), { folder: join(folder, 'b') })
  for (const name of ['scan.nii.gz', 'scan.json'])
    t.same(readFileSync(join(folder, 'a/masks/ward/a', name)), readFileSync(join(folder, 'b/masks/ward/a', name)), name)
  t.same(filesIn(join(folder, 'b')), ['masks/ward/a/scan.json', 'masks/ward/a/scan.nii.gz'])
})

const lungs = volumeOf(grid, x => (x > 4 ? 1 : x < 4 ? 2 : 0))
const lungCase: Case = { id: 'ward/a/scan', index: 0, image: '/scans/scan.nii.gz', lungs: '/scans/lungs.nii.gz' }

t.test('with a mask of the lungs sides are told', async t => {
  const folder = t.testdir({})
  await saved({}, predictionOf({ case: lungCase, lungs: inSlabs(lungs) }), { folder })
  t.match(json(folder, 'masks/ward/a/scan.json').lungs, {
    right: { lungMl: 0.72, lesionMl: 0.04, lesionShare: 4 / 72 },
    left: { lungMl: 0.96, lesionMl: 0.01, lesionShare: 1 / 96 },
    outside: { lesionMl: 0 },
  })
  const turned = volumeOf(grid, x => (x > 4 ? 20 : x < 4 ? 10 : 0))
  const options = { lungs: { right: [20, 21], left: [10] } }
  await saved(options, predictionOf({ case: lungCase, lungs: inSlabs(turned) }), { folder })
  t.match(json(folder, 'masks/ward/a/scan.json').lungs, { right: { lesionMl: 0.04 }, left: { lesionMl: 0.01 } })
  // The same voxels in a file whose axes run otherwise.
  const otherwise = orient(inSlabs(lungs), 'SLP').volume
  t.not(otherwise.grid.shape.join(), grid.shape.join())
  await saved({}, predictionOf({ case: lungCase, lungs: otherwise }), { folder })
  t.match(json(folder, 'masks/ward/a/scan.json').lungs, { right: { lungMl: 0.72 }, left: { lesionMl: 0.01 } })
  const one = volumeOf(grid, x => (x === 4 ? 0 : 1))
  await saved({}, predictionOf({ case: lungCase, lungs: inSlabs(one) }), { folder })
  t.match(json(folder, 'masks/ward/a/scan.json').lungs, { right: { lungMl: 0.72 }, left: { lungMl: 0.96 } })
})

t.test('lungs that cannot be leave no file', async t => {
  const folder = t.testdir({})
  const other = volumeOf(gridOf([8, 6, 4], [1, 2, 5], [-10, 20, 33]), () => 1)
  const bad = predictionOf({ case: lungCase, lungs: other })
  await t.rejects(saved({ preview: true }, bad, { folder }), {
    code: 'ERR_GEOMETRY',
    message: /lungs.nii.gz: expected the grid of the predicted mask.*corners up to 0, 0, 3 mm/,
    facts: { case: 'ward/a/scan', stage: 'save' },
  })
  const odd = volumeOf(grid, x => (x === 0 ? 7 : x === 1 ? 2 : 0))
  await t.rejects(saved({}, predictionOf({ case: lungCase, lungs: odd }), { folder }), {
    code: 'ERR_LABEL',
    message: /found 7 too/,
  })
  t.same(filesIn(folder), [])
  t.same(readdirSync(folder), [], 'nor a folder')
})

t.test('a preview lies between mask and side file, and goes through the largest lesion', async t => {
  const folder = t.testdir({})
  const scan = inSlabs(volumeOf(grid, x => (x === 0 ? 150 : -1350)))
  const made = await saved({ preview: true }, predictionOf({ scan }), { folder })
  t.same(made.files, ['masks/ward/a/scan.nii.gz', 'masks/ward/a/scan.png', 'masks/ward/a/scan.json'])
  t.equal(scan.ends, 1, 'the scan is read once')
  const { width, height, data, text } = decode(readFileSync(join(folder, 'masks/ward/a/scan.png')))
  t.equal(width, 8 + 4 + 8 + 4 + 12, '1 mm a pixel')
  t.equal(height, 20)
  t.match(text.Title, /through voxel 6, 2, 2$/)
  // Axial: x = 6 and y = 2, 2 mm high, third from the back.
  t.same([...data.subarray(3 * (width * 6 + 1), 3 * (width * 6 + 2))], [255, 64, 64])
  t.same([...data.subarray(3 * (width * 6 + 7), 3 * (width * 6 + 8))], [255, 255, 255], 'the window is that of lungs')

  const plain = { scan: inSlabs(volumeOf(grid, () => 0)), mask: maskOf(grid.shape, new Uint8Array(voxels.length)) }
  await saved({ preview: { window: [-1, 1] } }, predictionOf(plain), { folder })
  const empty = decode(readFileSync(join(folder, 'masks/ward/a/scan.png')))
  t.match(empty.text.Title, /through voxel 4, 3, 2$/, 'the middle, where there is none')
  t.same([...empty.data.subarray(0, 3)], [128, 128, 128])
})

t.test('a mask off the grid of its scan has no preview, which is said once', async t => {
  const folder = t.testdir({})
  const notes: string[] = []
  const options = optionsFrom(save, { kind: 'save', preview: true })
  const transform = save.create(options, contextOf({ folder, note: text => notes.push(text) }), nothingBefore)
  await transform(highland<Item>([predictionOf({}, 'a'), predictionOf({}, 'b')]))
    .collect()
    .toPromise(Promise)
  t.equal(notes.length, 1)
  t.same(filesIn(folder), ['masks/a.json', 'masks/a.nii.gz', 'masks/b.json', 'masks/b.nii.gz'])
})

function create(json: object): unknown {
  return save.create(optionsFrom(save, { kind: 'save', ...json }), contextOf(), nothingBefore)
}

t.test('what cannot be meant is refused', t => {
  t.throws(() => create({ preview: { window: [100, 100] } }), { code: 'ERR_DEFINITION', message: /100 to 100/ })
  t.throws(() => create({ lungs: { right: [1, 2], left: [2] } }), { code: 'ERR_DEFINITION', message: /2 in both/ })
  for (const wrong of [{ lungs: { right: [1] } }, { lungs: { right: [], left: [1] } }, { preview: { windw: [0, 1] } }])
    t.throws(() => create(wrong), JSON.stringify(wrong))
  t.doesNotThrow(() => create({ preview: {} }))
  t.end()
})

t.test('a folder that cannot be written is told with the path of the mask', async t => {
  await t.rejects(saved({}, predictionOf(), { folder: '/proc/nowhere' }), {
    code: 'ERR_OUTPUT',
    message: /\/proc\/nowhere\/masks\/ward\/a\/scan.nii.gz: cannot be written: .*space left/,
  })
  const folder = t.testdir({ masks: 'a file' })
  await t.rejects(saved({}, predictionOf(), { folder }), { code: 'ERR_OUTPUT', message: /masks/ })
})

t.test('any name that a file system takes is written, with scratch and without', async t => {
  const name = 'n'.repeat(255 - '.nii.gz'.length)
  const folder = t.testdir({ scratch: {} })
  for (const scratch of [join(folder, 'scratch'), undefined]) {
    const made = await saved({}, predictionOf({}, name), { folder, ...(scratch && { scratch }) })
    t.same(made.files, [`masks/${name}.nii.gz`, `masks/${name}.json`])
    t.same(filesIn(folder), made.files.toSorted())
  }
})

t.test("a name that cannot be is its case's own failure", async t => {
  const folder = t.testdir({ masks: { 'a.nii.gz': {}, 'b.json': {}, c: 'a file' } })
  const before = filesIn(folder)
  for (const [id, why] of [
    ['n'.repeat(250), /n\.nii\.gz: cannot be written: the name is too long.*; rename the scan/],
    ['a', /masks\/a\.nii\.gz: cannot be written: a folder of that name is in the way/],
    ['b', /masks\/b\.json: cannot be written: a folder of that name is in the way/],
    ['c/scan', /masks\/c\/scan\.nii\.gz: cannot be written: a part of the path is a file/],
  ] as const) {
    await t.rejects(saved({}, predictionOf({}, id), { folder }), { code: 'ERR_DATASET', message: why }, id.slice(-9))
    t.same(filesIn(folder), before, 'nothing is left of it')
  }
  t.same((await saved({}, predictionOf({}, 'd'), { folder })).files, ['masks/d.nii.gz', 'masks/d.json'])
})

t.test('an error of what is written passes, and takes the others along', async t => {
  const folder = t.testdir({ scratch: {} })
  const mask: Mask = {
    ...maskOf(grid.shape, voxels),
    plane(z) {
      if (z === 2) throw new Error('a bug')
      return new Uint8Array(48)
    },
  }
  await t.rejects(saved({}, predictionOf({ mask }), { folder, scratch: join(folder, 'scratch') }), { message: 'a bug' })
  t.same(filesIn(folder), [])
})

/** Noise: what no deflater makes small. */
function noise(shape: Shape3, scratch?: string): Prediction {
  const builder = new MaskBuilder(shape, scratch)
  let state = 1
  for (let z = 0; z < shape[2]; z++) {
    builder.append(
      Uint8Array.from({ length: shape[0] * shape[1] }, () =>
        (state = (Math.imul(state, 1664525) + 1013904223) | 0) < 0 ? 1 : 0,
      ),
    )
  }
  return predictionOf({ grid: gridOf(shape), mask: builder.finish() }, 'noise')
}

t.test('a disk that fills up leaves what was there, and says for which file', { skip: noMount() }, async t => {
  const folder = t.testdir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder])
  try {
    const scratch = join(folder, 'scratch')
    mkdirSync(scratch)
    await saved({}, predictionOf(), { folder, scratch })
    const before = filesIn(folder)
    for (const where of [scratch, undefined]) {
      await t.rejects(saved({}, noise([256, 256, 160]), { folder, ...(where && { scratch: where }) }), {
        code: 'ERR_OUTPUT',
        message: /masks\/noise.nii.gz: cannot be written: the disk is full/,
      })
      t.same(filesIn(folder), before)
    }
    // The mask has room, what comes after it has not.
    writeFileSync(join(folder, 'ballast'), new Uint8Array((1 << 20) - 40_000))
    const scan = inSlabs(
      volumeOf(gridOf([400, 400, 40]), (x, y, z) => ((x * 7919 + y * 104729 + z * 31) % 1500) - 1350),
    )
    const mask = maskOf([400, 400, 40], new Uint8Array(400 * 400 * 40))
    const prediction = predictionOf({ grid: scan.grid, mask, scan }, 'pictured')
    await t.rejects(saved({ preview: true }, prediction, { folder, scratch }), {
      code: 'ERR_OUTPUT',
      message: /masks\/pictured.(png|json): cannot be written: the disk is full/,
    })
    t.same(filesIn(folder), ['ballast', ...before])
  } finally {
    execFileSync('umount', [folder])
  }
})

t.test('a mask is written without its volume in memory', async t => {
  const folder = t.testdir({ scratch: {} })
  const scratch = join(folder, 'scratch')
  const shape: Shape3 = [512, 512, 60]
  const prediction = noise(shape, scratch)
  const planes: number[] = []
  let most = 0
  const before = process.memoryUsage().arrayBuffers
  const counted: Mask = {
    shape,
    runs: z => prediction.mask.runs(z),
    plane(z) {
      planes.push(z)
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      return prediction.mask.plane(z)
    },
  }
  await saved({}, { ...prediction, mask: counted }, { folder, scratch })
  t.same(planes, [...Array(60).keys()], 'plane by plane, once')
  t.comment(`${(most / 1e6).toFixed(0)} MB, garbage among them`)
  t.ok(statSync(join(folder, 'masks/noise.nii.gz')).size > 1.5e6)
  const written = await openNifti(join(folder, 'masks/noise.nii.gz'))
  const stored = Uint8Array.from(await materialise(written.volume))
  t.equal(Buffer.compare(stored, maskVoxels(prediction.mask)), 0)
})

t.test('a mask of another shape than its header is refused', async t => {
  const folder = t.testdir({})
  await writeNifti(join(folder, 'scan.nii'), { grid: gridOf([4, 4, 4]), voxels: new Int16Array(64) })
  const { header } = (await openNifti(join(folder, 'scan.nii'))).volume as { header: Uint8Array }
  await t.rejects(saved({}, predictionOf({ header }), { folder }), {
    code: 'ERR_GEOMETRY',
    message: /masks\/ward\/a\/scan.nii.gz: expected the grid of the scan, 4 x 4 x 4/,
  })
  t.same(filesIn(folder), ['scan.nii'])
})

t.test('no more bytes are alive than planned while a picture is made and lungs are split', async t => {
  const folder = t.testdir({ scratch: {} })
  const scratch = join(folder, 'scratch')
  const shape: Shape3 = [512, 512, 20]
  const long = gridOf(shape, [0.7, 0.7, 2])
  const lungs = inSlabs(
    volumeOf(long, x => (x > 100 && x < 400 ? 1 : 0)),
    4,
  )
  const { mask } = noise(shape, scratch)
  const prediction = predictionOf({
    grid: long,
    mask,
    scan: inSlabs(
      volumeOf(long, x => x - 500),
      4,
    ),
    lungs,
  })
  const plan = {
    grid: long,
    isExact: true,
    access: 'slabs',
    pulling: 2 * slabBytes(long),
    slab: slabBytes(long),
  } as const
  const before: Plan = {
    flow: 'prediction',
    volumes: { prediction: plan, lungs: plan },
    steps: [],
    items: 1,
    resident: 0,
    bytes: 0,
  }
  const { bytes } = save.plan!(optionsFrom(save, { kind: 'save', preview: true }), before, { classes: 2 })
  const found = await mostAlive(
    async () => void (await saved({ preview: true }, prediction, { folder, scratch })),
    1 << 19,
  )
  t.ok(bytes >= found, `planned ${bytes}, alive ${found}`)
  t.ok(bytes <= 10 * found, `near enough: ${(bytes / found).toFixed(2)}`)
})

t.test('a DICOM series has its segmentation beside the mask', { skip: !sharedPath('data', 'dicom') }, async t => {
  const folder = t.testdir({})
  const { grid, volume } = await openScan(sharedPath('data', 'dicom', 'cip-ct64')!)
  const [nx, ny, nz] = grid.shape
  const inside = Uint8Array.from({ length: nx * ny * nz }, (_, at) => (at % nx < 9 && at % 7 === 0 ? 1 : 0))
  const fields = { grid, mask: maskOf(grid.shape, inside), scan: volume }
  const made = await saved({ dicomSeg: true, preview: true }, predictionOf(fields, 'ct64'), { folder, model: 'ab' })
  t.same(made.files, ['masks/ct64.nii.gz', 'masks/ct64.png', 'masks/ct64.dcm', 'masks/ct64.json'])
  const pieces = [
    ...segmentationPieces((volume as LoadedVolume).series!, fields.mask, {
      segments: [lesionSegment(1)],
      algorithm: 'ctflow',
      version: version(),
      model: 'ab',
    }),
  ]
  t.equal(
    Buffer.compare(readFileSync(join(folder, 'masks/ct64.dcm')), Buffer.concat(pieces.map(piece => piece.slice()))),
    0,
  )
  t.equal(dicomParser.parseDicom(readFileSync(join(folder, 'masks/ct64.dcm'))).string('x00080060'), 'SEG')
})

t.test('a scan that is no DICOM series has none, which is said once', async t => {
  const folder = t.testdir({})
  const notes: string[] = []
  const made = await saved({ dicomSeg: true }, predictionOf(), { folder, note: text => notes.push(text) })
  t.same(made.files, ['masks/ward/a/scan.nii.gz', 'masks/ward/a/scan.json'])
  t.match(notes, [/no DICOM segmentations/])
})
