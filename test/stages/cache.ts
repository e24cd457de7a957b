import { mkdirSync, readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import highland from 'highland'
import t from 'tap'
import { lazyVolume, materialise } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Grid } from '../../pipeline/grid.ts'
import type { Context, Transform } from '../../pipeline/stage.ts'
import { cache, isOnDisk } from '../../stages/cache.ts'
import { perItem } from '../../stages/lift.ts'
import { contextOf, optionsFrom } from '../support/stage.ts'

const grid: Grid = { shape: [40, 30, 2], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
/** Whole numbers are kept as bytes. */
const bytes = 2400

/** Cases whose volumes hold their index, and how often each was made. */
function source(folder = ''): {
  samples(epoch: number, order: number[]): Sample[]
  before: Transform
  pulled: number[]
} {
  const pulled: number[] = []
  return {
    pulled,
    samples: (epoch, order) =>
      order.map(index => ({
        case: { id: `case${index}`, index, image: join(folder, `${index}.nii`) },
        epoch,
        steps: [],
        patch: 0,
        draws: {},
      })),
    before: perItem<Sample, Sample>('load', sample => {
      const { index } = sample.case
      if (index === 13) throw new PipelineError('ERR_FILE', 'unlucky')
      return {
        ...sample,
        image: lazyVolume(grid, async function* () {
          pulled.push(index)
          const voxels = Float32Array.from({ length: bytes }, (_, i) => (index === 5 ? Math.sin(i) : index))
          yield { z: 0, planes: 2, voxels }
        }),
      }
    }),
  }
}

interface Run {
  readonly transform: Transform
  readonly counts: Record<string, number>
  readonly notes: string[]
}

function start(json: object, before: Transform, fields: Partial<Context> = {}): Run {
  const counts: Record<string, number> = {}
  const notes: string[] = []
  const context = contextOf({
    count: (name, by = 1) => void (counts[name] = (counts[name] ?? 0) + by),
    note: text => void notes.push(text),
    ...fields,
  })
  const options = optionsFrom(cache, { kind: 'cache', ...json })
  return { transform: cache.create(options, context, { flow: before, stages: [{ kind: 'load' }] }), counts, notes }
}

/** Uses one sample after the other and gives its memory back: all of its voxels, and a box of them. */
async function use(transform: Transform, samples: readonly Sample[]): Promise<Float32Array[]> {
  const all: Float32Array[] = []
  await new Promise<void>((resolve, reject) => {
    transform(highland<Item>([...samples]))
      .map(item =>
        highland(
          (async () => {
            const { image, claim } = item as Sample
            all.push((await materialise(image!)).slice(), await image!.region!([3, 2, 1], [5, 4, 1]))
            claim!.release()
            return true
          })(),
        ),
      )
      .sequence()
      .errors(error => reject(error as Error))
      .done(resolve)
  })
  return all
}

t.test('a second epoch makes nothing again, in any order', async t => {
  const { samples, before, pulled } = source()
  const ledger = openLedger(2 ** 20)
  const { transform, counts } = start({}, before, { ledger })
  await use(transform, samples(0, [0, 1, 2]))
  const again = await use(transform, samples(1, [2, 0, 1]))
  t.same(pulled.toSorted(), [0, 1, 2])
  t.same(
    again.map(voxels => voxels[7]),
    [2, 2, 0, 0, 1, 1],
  )
  t.same([counts['cache.misses'], counts['cache.hitsInMemory']], [3, 3])
  t.equal(ledger.report().liveBytes, 3 * bytes, 'they yield in the ledger')
})

t.test('no more bytes are kept than allowed; the least recently used goes first', async t => {
  const { samples, before, pulled } = source()
  const { transform } = start({ bytes: 2 * bytes, parallel: 1 }, before)
  for (const index of [0, 1, 0, 2]) await use(transform, samples(0, [index]))
  t.same(pulled, [0, 1, 2])
  await use(transform, samples(1, [0]))
  t.same(pulled, [0, 1, 2], 'case 0 was used last and is still there')
  await use(transform, samples(1, [1]))
  t.same(pulled, [0, 1, 2, 1], 'case 1 had to go')
})

t.test('what the run needs for other things is never kept from it', async t => {
  const { samples, before, pulled } = source()
  const ledger = openLedger(4 * bytes)
  const { transform } = start({ parallel: 1 }, before, { ledger })
  await use(transform, samples(0, [0, 1, 2]))
  const claim = await ledger.claim('somebody', 3 * bytes)
  t.equal(ledger.report().liveBytes, 4 * bytes)
  claim.release()
  await use(transform, samples(1, [0, 1, 2]))
  t.equal(pulled.length, 5, 'two of three had to go')
})

t.test('the same voxels come from memory, from disk and from the stages, in either encoding', async t => {
  for (const encoding of ['exact', 'uint16']) {
    const results: Float32Array[][] = []
    const disk = { folder: t.testdir({}) }
    for (const policy of ['none', 'memory', 'disk', 'both', 'both']) {
      const { samples, before, pulled } = source()
      const { transform, counts } = start({ policy, encoding, disk }, before)
      results.push(await use(transform, samples(0, [5, 0])), await use(transform, samples(1, [5, 0])))
      t.comment(`${policy}, ${encoding}: ${JSON.stringify(counts)}`)
      const made = { none: 4, memory: 2, disk: 2, both: 0 }[policy]!
      t.equal(pulled.length, made, `${policy}: made ${made} times`)
    }
    for (const result of results.slice(1)) t.same(result, results[0])
    const error = Math.max(...results[0]![0]!.map((value, i) => Math.abs(value - Math.fround(Math.sin(i)))))
    t.comment(`${encoding}: off by at most ${error}`)
    t.ok(error <= (encoding === 'exact' ? 0 : 2 / 131070 + 1e-7))
  }
})

t.test('another process finds what was kept on disk, and stages of other options do not', async t => {
  const disk = { folder: t.testdir({}) }
  const json = { policy: 'disk', disk }
  const first = source()
  await use(start(json, first.before).transform, first.samples(0, [0, 1]))
  const second = source()
  const { transform, counts } = start(json, second.before)
  const found = await use(transform, second.samples(0, [1, 0]))
  t.same(
    found.map(voxels => voxels[0]),
    [1, 1, 0, 0],
  )
  t.equal(counts['cache.hitsOnDisk'], 2)
  t.same(second.pulled, [])
  const kept = second.samples(0, [1])[0]!.case
  const asked = [{ kind: 'load' }, optionsFrom(cache, { kind: 'cache', ...json })]
  t.ok(await isOnDisk(asked, kept), 'and can be told so beforehand')
  t.notOk(await isOnDisk(asked, second.samples(0, [2])[0]!.case), 'another case is not there')
  t.notOk(await isOnDisk([{ kind: 'load' }, { kind: 'clip' }, asked[1]!], kept), 'nor the case of other stages')
  t.notOk(await isOnDisk([asked[0]!, optionsFrom(cache, { kind: 'cache', disk })], kept), 'nor where only memory keeps')
  const other = source()
  const options = optionsFrom(cache, { kind: 'cache', ...json })
  const stages = [{ kind: 'load' }, { kind: 'clip', min: 3 }]
  await use(cache.create(options, contextOf(), { flow: other.before, stages }), other.samples(0, [1]))
  t.same(other.pulled, [1])
})

t.test('a damaged file is made anew, also where the damage shows only while it is read', async t => {
  const folder = t.testdir({})
  const json = { policy: 'disk', disk: { folder } }
  const first = source()
  const expected = await use(start(json, first.before).transform, first.samples(0, [5]))
  const name = readdirSync(join(folder, 'v1')).find(file => file.endsWith('.entry'))!
  const path = join(folder, 'v1', name)
  const whole = readFileSync(path)
  let mended = 0
  for (let at = 0; at < whole.length; at += 97) {
    const damaged = Buffer.from(whole)
    damaged[at]! ^= 0x10
    writeFileSync(path, damaged)
    const { samples, before, pulled } = source()
    t.same(await use(start(json, before).transform, samples(0, [5])), expected, `byte ${at}`)
    mended += pulled.length
  }
  t.comment(`${Math.ceil(whole.length / 97)} damages, ${mended} times made anew`)
  t.ok(mended > whole.length / 97 / 2)
})

t.test('two requests for one case at once make it once; a failure is not kept', async t => {
  const { samples, before, pulled } = source()
  const ledger = openLedger(2 ** 20)
  const { transform } = start({ parallel: 4 }, before, { ledger })
  t.equal((await use(transform, samples(0, [5, 5, 5]))).length, 6)
  t.same(pulled, [5])
  const failure = { code: 'ERR_FILE', facts: { case: 'case13', stage: 'load' } }
  await t.rejects(use(transform, samples(0, [13])), failure)
  await t.rejects(use(transform, samples(0, [13])), failure)
  t.ok(ledger.report().liveBytes <= 4 * bytes, 'their claims are given back')
})

t.test('a file that changes while it is read fails its case, and nothing is kept of it', async t => {
  const folder = t.testdir({ '1.nii': 'before' })
  const { samples, before, pulled } = source(folder)
  let changes = 0
  const changing: Transform = stream =>
    before(stream).map(item => {
      utimesSync(join(folder, '1.nii'), 1, ++changes)
      return item
    })
  const { transform } = start({}, changing)
  await t.rejects(use(transform, samples(0, [1])), { code: 'ERR_FILE', message: /changed/ })
  const calm = start({}, before)
  t.equal((await use(calm.transform, samples(0, [1])))[0]![0], 1)
  t.equal(pulled.length, 2)
})

t.test('a folder that cannot be used is told once, and the run goes on without', async t => {
  const folder = join(t.testdir({ file: 'in the way' }), 'file')
  const { samples, before } = source()
  const { transform, notes } = start({ policy: 'both', disk: { folder } }, before)
  await use(transform, samples(0, [0, 1, 2]))
  t.equal((await use(transform, samples(1, [2])))[0]![0], 2)
  t.equal(notes.length, 1)
  t.match(notes[0], /file: .*keeps nothing more/)
})

t.test('a folder of another version is left alone', async t => {
  const folder = t.testdir({})
  mkdirSync(join(folder, 'v0'))
  writeFileSync(join(folder, 'v0', 'something'), 'else')
  const { samples, before } = source()
  await use(start({ policy: 'disk', disk: { folder } }, before).transform, samples(0, [0]))
  t.same(readdirSync(join(folder, 'v0')), ['something'])
})

t.test('with a slow consumer, cached stages run at most `parallel` volumes ahead', async t => {
  const { samples, before, pulled } = source()
  const { transform } = start({ parallel: 2 }, before)
  let consumed = 0
  let ahead = 0
  await new Promise<void>(resolve => {
    transform(highland<Item>(samples(0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))
      .map(item =>
        highland(
          new Promise(done => {
            ahead = Math.max(ahead, pulled.length - consumed)
            setTimeout(() => {
              consumed += 1
              ;(item as Sample).claim!.release()
              done(true)
            }, 4)
          }),
        ),
      )
      .sequence()
      .done(resolve)
  })
  t.equal(consumed, 10)
  t.ok(ahead <= 3, `${ahead} ahead`)
})
