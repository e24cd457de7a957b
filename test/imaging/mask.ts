import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MaskBuilder, maskOf, maskVoxels } from '../../imaging/mask.ts'
import { residentSpoolBytes } from '../../imaging/spool.ts'
import type { Mask } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { rng } from '../../pipeline/random.ts'

/** Voxels of which about a share is not 0, in runs. */
function voxels(shape: Shape3, share: number, seed: number): Uint8Array {
  const random = rng(seed, 0, 0, 'test', 0)
  let value = 0
  return Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, () => {
    if (random.uniform() < 0.3) value = random.uniform() < share ? 1 + Math.floor(random.uniform() * 255) : 0
    return value
  })
}

/** The same, told by runs alone. */
function fromRuns({ shape, runs }: Mask): Uint8Array {
  const [nx, ny, nz] = shape
  const all = new Uint8Array(nx * ny * nz)
  for (let z = 0; z < nz; z++) {
    const { from, to, value } = runs(z)
    for (let i = 0; i < from.length; i++) {
      if (Math.floor(from[i]! / nx) !== Math.floor((to[i]! - 1) / nx)) throw new Error('a run crosses rows')
      if (i > 0 && from[i]! < to[i - 1]!) throw new Error('runs are out of order')
      all.fill(value[i]!, z * nx * ny + from[i]!, z * nx * ny + to[i]!)
    }
  }
  return all
}

t.test('what goes in comes out, by planes and by runs, from nothing to noise', async t => {
  for (const shape of [
    [1, 1, 1],
    [7, 5, 3],
    [8, 8, 2],
    [64, 33, 4],
    [1, 40, 9],
  ] as Shape3[]) {
    for (const share of [0, 0.02, 0.5, 1]) {
      const all = voxels(shape, share, shape[0])
      const mask = maskOf(shape, all)
      t.same(maskVoxels(mask), all, `${shape.join('x')} at ${share}`)
      t.same(fromRuns(mask), all)
      const plane = shape[0] * shape[1]
      t.same(mask.plane(shape[2] - 1), all.subarray(plane * (shape[2] - 1)))
    }
  }
})

t.test('a plane is a new array: who writes into it changes nothing', async t => {
  const shape: Shape3 = [8, 8, 2]
  for (const share of [0.02, 1]) {
    const all = voxels(shape, share, 3)
    const mask = maskOf(shape, all)
    mask.plane(1).fill(7)
    t.same(maskVoxels(mask), all, `at ${share}`)
    t.same(mask.plane(1), all.subarray(64))
  }
})

t.test('what is too much for memory goes to a file that nobody sees', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'mask-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const shape: Shape3 = [512, 512, 40]
  const random = rng(1, 0, 0, 'test', 0)
  const all = new Uint8Array(512 * 512 * 40).map(() => (random.uniform() < 0.5 ? 1 : 0))
  t.ok(all.length > 2 * residentSpoolBytes)
  const builder = new MaskBuilder(shape, folder)
  for (let z = 0; z < 40; z++) builder.append(all.subarray(z * 512 * 512, (z + 1) * 512 * 512))
  const mask = builder.finish()
  for (const z of [39, 0, 17, 3, 38]) t.ok(Buffer.compare(mask.plane(z), all.subarray(z << 18, (z + 1) << 18)) === 0)
  t.ok(Buffer.compare(fromRuns(mask), all) === 0)
  t.same(readdirSync(folder), [])
  mask.close()
  mask.close()
})

t.test('a scratch folder that cannot be written is told with its path', async t => {
  const builder = new MaskBuilder([4096, 2048, 2], '/proc/no-such-folder')
  t.throws(() => builder.append(new Uint8Array(4096 * 2048).map((_, i) => i % 2)), {
    code: 'ERR_OUTPUT',
    message: /no-such-folder.*cannot be written/,
  })
})

function readSync(): never {
  throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
}

t.test('a file that cannot be read back is told with its folder', async t => {
  const fs = await import('node:fs')
  const { Spool } = await t.mockImport<typeof import('../../imaging/spool.ts')>('../../imaging/spool.js', {
    'node:fs': { ...fs, readSync },
  })
  const folder = t.testdir({})
  const spool = new Spool(folder)
  spool.append(new Uint8Array(residentSpoolBytes + 1))
  t.throws(() => spool.read(0, 10), {
    code: 'ERR_OUTPUT',
    message: new RegExp(`temporary file in ${folder} cannot be read: EIO`),
  })
  spool.close()
})

t.test('planes that do not fit are a bug', async t => {
  const builder = new MaskBuilder([4, 4, 2])
  t.throws(() => builder.append(new Uint8Array(15)), /16/)
  t.throws(() => builder.finish(), /2 planes/)
  t.throws(() => maskOf([2, 2, 1], new Uint8Array(4)).plane(1), RangeError)
})
