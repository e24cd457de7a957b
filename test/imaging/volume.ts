import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { peakLiveBytes } from '../../bench/load/live.ts'
import { crop } from '../../imaging/crop.ts'
import { clip } from '../../imaging/intensity.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { resample } from '../../imaging/resample.ts'
import { spacedGrid } from '../../imaging/spacing.ts'
import { mapVoxels, materialise, residentVolume, SlabMemory } from '../../imaging/volume.ts'
import { planRead, planResample } from '../../imaging/volume-plan.ts'
import type { Grid, Shape3, Slab, Volume } from '../../pipeline/grid.ts'
import { gridOf, int16, rawNifti, volumeOf, writeBytes } from '../support/nifti.ts'
import { maxDifference, normals } from '../support/numbers.ts'

t.test('what is given back is used again, what is kept is left alone', async t => {
  const memory = new SlabMemory()
  const [first, second] = [memory.slab(0, 2, 8), memory.slab(2, 2, 8)]
  t.not(first.voxels, second.voxels)
  first.voxels.fill(1)
  first.release!()
  first.release!()
  const third = memory.slab(4, 2, 8)
  t.equal(third.voxels, first.voxels)
  t.not(memory.slab(6, 2, 8).voxels, first.voxels, 'given back twice, used once')
  third.release!()
  const short = memory.slab(8, 1, 4)
  t.equal(short.voxels.buffer, first.voxels.buffer, 'a shorter slab in the same memory')
  short.release!()
  t.equal(memory.slab(9, 2, 8).voxels.length, 8, 'all of which comes back')
})

t.test('a long pull takes as many arrays as a short one, however it is chained', async t => {
  const folder = t.testdir()
  const arrays = async (planes: number): Promise<number> => {
    const voxels = new Uint8Array(600 * 500 * planes)
    const bytes = rawNifti({ dims: [600, 500, planes], pixdims: [1, 1, 1], datatype: 2, bits: 8, voxels })
    const { volume } = await openNifti(writeBytes(join(folder, `${planes}.nii.gz`), bytes))
    const target = spacedGrid(volume.grid, [1.2, 1.1, 2.5])
    const chain = clip(resample(volume, target, 'linear'), { min: 0, max: 1, to: [0, 1] })
    const seen = new Set<ArrayBufferLike>()
    let slabs = 0
    for await (const { voxels: found, release } of watched(chain, volume, seen).slabs()) {
      seen.add(found.buffer)
      release!()
      slabs++
    }
    t.comment(`${planes} planes: ${slabs} slabs, ${seen.size} arrays`)
    return seen.size
  }
  const [short, long] = [await arrays(20), await arrays(100)]
  t.ok(long <= short && long <= 4, `${short} and ${long}`)
})

/** `chain`, with the memory of the slabs of `source` noted as they go by. */
function watched(chain: Volume, source: Volume, seen: Set<ArrayBufferLike>): Volume {
  const slabs = source.slabs.bind(source)
  source.slabs = async function* (): AsyncGenerator<Slab> {
    for await (const slab of slabs()) {
      seen.add(slab.voxels.buffer)
      yield slab
    }
  }
  return chain
}

t.test('what lives while a scan is pulled and resampled is no more than told', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const folder = t.testdir()
  const voxels = new Uint8Array(2 * 512 * 400 * 24)
  const bytes = rawNifti({ dims: [512, 400, 24], pixdims: [0.7, 0.7, 1], datatype: 4, bits: 16, voxels })
  for (const ending of ['nii', 'nii.gz']) {
    const image = await openNifti(writeBytes(join(folder, `a.${ending}`), bytes))
    for (const spacing of [
      [0.8, 0.8, 5],
      [0.8, 0.8, 1.5],
    ] as const) {
      const target = spacedGrid(image.grid, spacing)
      const chain = clip(resample(image.volume, target, 'linear'), { min: 0, max: 1, to: [0, 1] })
      const told = planResample(planRead(image), target, 'linear').pulling
      const live = await peakLiveBytes(collect, async () => {
        for await (const slab of chain.slabs()) {
          await setImmediate()
          slab.release!()
        }
        return 0
      })
      t.comment(`${ending}, ${spacing.join(' x ')} mm: ${live} bytes of ${told}`)
      t.ok(live <= told + 10000, 'no more, but for what is small')
    }
  }
})

t.test('voxels that live on are not written to; a single slab becomes the volume without a copy', async t => {
  const grid = gridOf([3, 2, 4])
  const resident = volumeOf(grid, x => x)
  const doubled = mapVoxels(resident, async (from, to) => to.set(from.map(value => 2 * value)))
  t.same([...(await materialise(doubled))].slice(0, 3), [0, 2, 4])
  t.same([...resident.resident!].slice(0, 3), [0, 1, 2])
  const own = new Float32Array(24)
  const single: Volume = {
    grid,
    async *slabs() {
      yield { z: 0, planes: 4, voxels: own, release: () => t.fail('it is kept') }
    },
  }
  t.equal(await materialise(single), own)
  t.not(await materialise({ ...residentVolume(grid, own), resident: undefined } as never), own)
})

/** A volume that can be read by region only, and the boxes that it was asked for. */
function regional(grid: Grid, voxels: Float32Array): { volume: Volume; asked: [Shape3, Shape3][] } {
  const asked: [Shape3, Shape3][] = []
  const volume: Volume = {
    grid,
    slabs() {
      throw new Error('expected regions only')
    },
    region: async (start, shape) => {
      asked.push([start, shape])
      return materialise(crop(residentVolume(grid, voxels), { start, shape }))
    },
  }
  return { volume, asked }
}

t.test('resampling reads by region what it needs of a coarser grid, and no plane twice', async t => {
  const grid = gridOf([9, 8, 31], [1, 1, 1])
  const voxels = normals(9 * 8 * 31, 'regions')
  const targets: Record<string, Grid> = {
    coarser: gridOf([7, 7, 7], [1.2, 1.1, 4.5]),
    'every fifth': gridOf([9, 8, 6], [1, 1, 5]),
    backwards: gridOf([9, 8, 31], [1, 1, -1], [0, 0, 30]),
    tilted: { shape: [9, 8, 10], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0.3, 3, -2, 0, 0, 0, 1] },
  }
  for (const [name, target] of Object.entries(targets)) {
    for (const interpolation of ['linear', 'nearest'] as const) {
      const { volume, asked } = regional(grid, voxels)
      const expected = await materialise(resample(residentVolume(grid, voxels), target, interpolation))
      const found = await materialise(resample(volume, target, interpolation))
      t.equal(maxDifference(found, expected), 0, `${name}, ${interpolation}: the same voxels`)
      const read = asked.flatMap(([start, shape]) => Array.from({ length: shape[2] }, (_, k) => start[2] + k))
      t.equal(new Set(read).size, read.length, `${name}, ${interpolation}: ${read.length} planes read once`)
      if (name === 'every fifth') t.equal(read.length, interpolation === 'linear' ? 12 : 6)
    }
  }
})

t.test('a crop and a map of what can be read by region can be read by region', async t => {
  const grid = gridOf([9, 8, 6])
  const voxels = normals(9 * 8 * 6, 'crops')
  const { volume, asked } = regional(grid, voxels)
  const box = { start: [2, 1, 1] as Shape3, shape: [5, 6, 4] as Shape3 }
  const chain = clip(crop(volume, box), { min: -1, max: 1, to: [0, 1] })
  const expected = await materialise(clip(crop(residentVolume(grid, voxels), box), { min: -1, max: 1, to: [0, 1] }))
  t.equal(maxDifference(await materialise(chain), expected), 0)
  const part = { start: [1, 2, 3] as Shape3, shape: [2, 3, 1] as Shape3 }
  const found = await chain.region!(part.start, part.shape)
  t.same([...found], [...(await materialise(crop(residentVolume(chain.grid, expected), part)))])
  t.same(asked.at(-1), [[3, 3, 4], part.shape], 'the box, where it lies in the source')
})

t.test('a plain file and a gzipped one resample to the same bits', async t => {
  const folder = t.testdir()
  const values = Array.from({ length: 40 * 30 * 24 }, (_, i) => (Math.imul(i, 40503) >> 12) % 2000)
  const bytes = rawNifti({
    dims: [40, 30, 24],
    pixdims: [0.7, 0.7, 1],
    datatype: 4,
    bits: 16,
    voxels: int16(...values),
  })
  const [plain, zipped] = await Promise.all(
    ['a.nii', 'a.nii.gz'].map(async name => {
      const { volume } = await openNifti(writeBytes(join(folder, name), bytes))
      return materialise(resample(volume, spacedGrid(volume.grid, [0.8, 0.8, 5]), 'linear'))
    }),
  )
  t.equal(maxDifference(plain!, zipped!), 0)
})
