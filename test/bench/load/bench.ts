import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { benches, checkSame } from '../../../bench/load/bench.ts'
import { peakLiveBytes } from '../../../bench/load/live.ts'
import { loadWork } from '../../../bench/load/work.ts'
import { startContender } from '../../../bench/network/contender.ts'
import { openNifti } from '../../../imaging/nifti-read.ts'
import { resample } from '../../../imaging/resample.ts'
import { spacedGrid } from '../../../imaging/spacing.ts'
import { materialise } from '../../../imaging/volume.ts'
import { skip } from '../../support/kernels.ts'
import { int16, rawNifti, writeBytes } from '../../support/nifti.ts'

t.test('figures stand beside the peers and the lengths that they are of', async t => {
  t.same(
    benches.flatMap(({ comparisons = [] }) => comparisons.map(({ name, figure, against }) => [name, figure, against])),
    [
      ['load/512x512x300', undefined, 'monai-default'],
      ['load/512x512x300/peak-of-memory', 'peakBytes', 'monai-default'],
      ['load-live-bytes/4-times-the-planes', undefined, undefined],
    ],
  )
  for (const { trials, comparisons = [] } of benches) {
    const names = trials.map(({ name }) => name)
    for (const { of, over } of comparisons) t.ok([...of, over].every(name => names.includes(name)))
  }
})

t.test('a peer whose voxels are others is not timed', async t => {
  const ours = [4, 5, 6, 0.5, 0.01, 0.25, 0.75, 0, 1]
  const changed = (at: number, by: number): number[] => ours.with(at, ours[at]! + by)
  t.doesNotThrow(() => checkSame(changed(5, 1e-7), ours))
  t.throws(() => checkSame(changed(2, 1), ours), { message: /its grid is not ours: 4 x 5 x 7/ })
  for (const at of [3, 5, 6])
    t.throws(() => checkSame(changed(at, 1e-5), ours), { message: /intensities are not ours/ })
  for (const at of [4, 7, 8]) t.throws(() => checkSame(changed(at, 1), ours), { message: /labels are not ours/ })
  t.throws(() => checkSame(ours.with(6, NaN), ours), { message: /intensities/ })
  t.throws(() => checkSame(ours.slice(0, -1), ours))
})

t.test('live bytes are those beside the result', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const found = await peakLiveBytes(collect, async () => {
    const result = new Float32Array(1e6)
    let beside: Float32Array | undefined = new Float32Array(5e5)
    await new Promise(resolve => setTimeout(resolve, 50))
    result[0] = beside.length
    beside = undefined
    return result.byteLength
  })
  t.ok(Math.abs(found - 2e6) < 1e5, `${found} bytes`)
})

t.test('our stages take part as the peers do', { skip }, async t => {
  const folder = t.testdir()
  const dims = [30, 20, 12]
  const count = 30 * 20 * 12
  const scan = { dims, pixdims: [0.7, 0.7, 1], datatype: 4, bits: 16 }
  const values = Array.from({ length: count }, (_, i) => ((i * 37) % 2000) - 1200)
  const image = writeBytes(join(folder, 'ct.nii.gz'), rawNifti({ ...scan, voxels: int16(...values) }))
  const label = writeBytes(
    join(folder, 'mask.nii.gz'),
    rawNifti({ ...scan, datatype: 2, bits: 8, voxels: new Uint8Array(count).fill(1, count / 2) }),
  )
  const file = fileURLToPath(new URL('../../../bench/load/ours.js', import.meta.url))
  const contender = startContender({ file: process.execPath, args: [file], timeoutSeconds: 30 })
  await contender.prepare(loadWork(image, label))
  const [first, second] = [await contender.repeat(), await contender.repeat()]
  t.same(second.outcome, first.outcome)
  t.equal(first.outcome.length, 3 + 2 + 2 * 4096)
  const { volume } = await openNifti(label)
  const grid = spacedGrid(volume.grid, [0.8, 0.8, 5])
  const classes = await materialise(resample(volume, grid, 'nearest'))
  t.same(first.outcome.slice(0, 3), grid.shape)
  t.equal(first.outcome[4], classes.reduce((sum, value) => sum + value, 0) / classes.length)
  const { peakBytes } = await contender.report()
  t.ok(peakBytes > 1e7)
  await contender.close()

  const watched = startContender({ file: process.execPath, args: ['--expose-gc', file], timeoutSeconds: 30 })
  await watched.prepare(loadWork(image, label))
  const live = (await watched.repeat()).outcome[0]!
  t.ok(live > 0 && live < 5e6, `${live} bytes beside a small result`)
  await watched.close()
  writeFileSync(image, 'no scan')
  const failing = startContender({ file: process.execPath, args: [file], timeoutSeconds: 30 })
  await failing.prepare(loadWork(image, label))
  await t.rejects(failing.repeat(), { message: /expected a NIfTI/ })
  await failing.close()
  rmSync(image)
})
