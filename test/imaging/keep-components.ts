import t from 'tap'
import { keepComponents, type KeepOptions } from '../../imaging/keep-components.ts'
import { maskOf, maskVoxels } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { awkwardVolumes, flood } from '../support/flood.ts'

async function kept(
  shape: Shape3,
  voxels: Uint8Array,
  options: KeepOptions,
  connectivity: 6 | 18 | 26 = 26,
  scratch?: string,
): Promise<Uint8Array> {
  const made = await keepComponents(maskOf(shape, voxels), options, { connectivity, scratch, pause: async () => {} })
  try {
    return maskVoxels(made)
  } finally {
    made.close()
  }
}

function expected(shape: Shape3, voxels: Uint8Array, options: KeepOptions, connectivity: 6 | 18 | 26): Uint8Array {
  const result = new Uint8Array(voxels.length)
  const components = flood(shape, voxels, connectivity).filter(({ length }) => length >= options.minimumVoxels)
  for (const value of new Set(voxels)) {
    // By first voxel they are; the sort is stable.
    const ofClass = components.filter(([first]) => voxels[first!] === value)
    const largest = ofClass.toSorted((a, b) => b.length - a.length).slice(0, options.largest)
    for (const at of largest.flat()) result[at] = value
  }
  return result
}

t.test('what is small goes and what is largest stays, as a flood tells', async t => {
  for (const classes of [2, 3]) {
    for (const { name, shape, voxels } of awkwardVolumes(classes, rng(classes, 0, 0, 'keep'))) {
      for (const connectivity of [6, 18, 26] as const) {
        for (const options of [
          { minimumVoxels: 3, largest: Infinity },
          { minimumVoxels: 0, largest: 1 },
          { minimumVoxels: 2, largest: 3 },
        ]) {
          t.same(
            await kept(shape, voxels, options, connectivity),
            expected(shape, voxels, options, connectivity),
            `${name}, ${classes} classes, ${connectivity}, ${JSON.stringify(options)}`,
          )
        }
      }
    }
  }
})

t.test('of equal components those that come first in the file stay', async t => {
  const voxels = Uint8Array.of(1, 0, 1, 0, 1, 0, 2, 0, 2)
  t.same(await kept([9, 1, 1], voxels, { minimumVoxels: 0, largest: 1 }), Uint8Array.of(1, 0, 0, 0, 0, 0, 2, 0, 0))
  t.same(await kept([1, 1, 9], voxels, { minimumVoxels: 0, largest: 2 }), Uint8Array.of(1, 0, 1, 0, 0, 0, 2, 0, 2))
})

/** Half of the voxels, one by one. */
function noise(length: number): { readonly voxels: Uint8Array; readonly count: number } {
  const voxels = new Uint8Array(length)
  let [state, count] = [1, 0]
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    if (state >= 0) continue
    voxels[i] = 1
    count++
  }
  return { voxels, count }
}

const few: KeepOptions = { minimumVoxels: 5, largest: Infinity }

t.test('what is put aside in a file comes out as from memory', async t => {
  const shape: Shape3 = [512, 512, 24]
  const { voxels } = noise(512 * 512 * 24)
  t.equal(Buffer.compare(await kept(shape, voxels, few, 6, t.testdir({})), await kept(shape, voxels, few, 6)), 0)
})

t.test('noise of 26 million voxels is worked through in the memory of some planes', async t => {
  const shape: Shape3 = [512, 512, 100]
  const { voxels, count } = noise(512 * 512 * 100)
  const mask = maskOf(shape, voxels)
  const scratch = t.testdir({})
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const made = await keepComponents(mask, few, {
    connectivity: 6,
    scratch,
    pause: async () => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    },
  })
  let left = 0
  for (let z = 0; z < shape[2]; z++) {
    const { from, to } = made.runs(z)
    for (let i = 0; i < from.length; i++) left += to[i]! - from[i]!
  }
  made.close()
  t.ok(left > 0.9 * count && left < count, `${count - left} of ${count} voxels are gone`)
  // Garbage among them; labels of all runs would take 26 MB, parents as much again, voxels 26 MB.
  t.comment(`${(most / 1e6).toFixed(0)} MB`)
})
