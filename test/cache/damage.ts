/** Damage of every kind: a file is refused, or what comes out of it is what went in. */

import { copyFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isDamaged } from '../../cache/checked-file.ts'
import type { DiskTier } from '../../cache/disk-tier.ts'
import { nameOf } from '../../cache/key.ts'
import { materialise } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Key } from '../../pipeline/flow.ts'
import { skip } from '../support/kernels.ts'
import { caseOf, put, sameBits, tierOf, type Volumes } from '../support/stored.ts'

const outcomes = ['refused at once', 'refused while read', 'right'] as const

/** What becomes of an entry; throws where something wrong comes out of it, or another error. */
async function outcomeOf(tier: DiskTier, key: string, volumes: Volumes): Promise<(typeof outcomes)[number]> {
  const entry = await tier.get(key)
  if (!entry) return 'refused at once'
  try {
    for (const [name, { resident }] of Object.entries(volumes)) {
      if (!sameBits(await materialise(entry.volumes[name as Key]!.volume), resident!)) throw new Error('wrong voxels')
    }
    if (Object.keys(volumes).length !== Object.keys(entry.volumes).length) throw new Error('another volume')
    return 'right'
  } catch (error) {
    if (!isDamaged(error)) throw error
    return 'refused while read'
  } finally {
    await entry.close()
  }
}

t.test('any flipped bit is seen, and the file is removed', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const { key, volumes } = caseOf(1, [65, 40, 6])
  await (await put(tier, key, volumes))!.close()
  const path = join(folder, 'v1', `${nameOf(key)}.entry`)
  const sound = readFileSync(path)
  const counts = new Map<string, number>()
  // Every byte of preamble and head, and many of the voxels and checksums.
  const draws = rng(8, 0, 0, 'flips')
  const head = Number(sound.readBigUInt64LE(16))
  const places = [
    ...Array.from({ length: 64 }, (_, i) => i),
    ...Array.from({ length: 400 }, () => head + draws.integer(sound.length - head)),
    ...Array.from({ length: 600 }, () => draws.integer(sound.length)),
  ]
  for (const place of places) {
    const spoilt = Buffer.from(sound)
    spoilt[place]! ^= 1 << draws.integer(8)
    writeFileSync(path, spoilt)
    const outcome = await outcomeOf(tier, key, volumes)
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    if (outcome === 'right') t.fail(`byte ${place} was not looked at`)
    if (readdirSync(join(folder, 'v1')).length > 0) t.fail(`byte ${place}: the damaged file is still there`)
  }
  t.comment(JSON.stringify(Object.fromEntries(counts)))
  t.ok(counts.get('refused at once')! > 100 && counts.get('refused while read')! > 100)
  t.equal(tier.counts.damaged, places.length)
  writeFileSync(path, sound)
  t.equal(await outcomeOf(tier, key, volumes), 'right')
})

t.test('cut off anywhere, too long, empty, holes, rubbish', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const { key, volumes } = caseOf(2, [65, 40, 6])
  await (await put(tier, key, volumes))!.close()
  const path = join(folder, 'v1', `${nameOf(key)}.entry`)
  const sound = readFileSync(path)
  const draws = rng(9, 0, 0, 'cuts')
  const lengths = [0, 1, 63, 64, 65, sound.length - 1, ...Array.from({ length: 60 }, () => draws.integer(sound.length))]
  for (const length of lengths) {
    writeFileSync(path, sound)
    truncateSync(path, length)
    t.equal(await outcomeOf(tier, key, volumes), 'refused at once', `${length} of ${sound.length} bytes`)
  }
  writeFileSync(path, Buffer.concat([sound, Buffer.alloc(1)]))
  t.equal(await outcomeOf(tier, key, volumes), 'refused at once', 'one byte more')
  for (let i = 0; i < 60; i++) {
    // As a power failure leaves it: pages of zeros where something was written.
    const torn = Buffer.from(sound)
    const at = 4096 * draws.integer(Math.ceil(sound.length / 4096))
    torn.fill(0, at, Math.min(at + 4096, torn.length))
    writeFileSync(path, torn)
    t.not(await outcomeOf(tier, key, volumes), 'right', `a hole at ${at}`)
    writeFileSync(path, Buffer.from(Array.from({ length: draws.integer(300) }, () => draws.integer(256))))
    t.equal(await outcomeOf(tier, key, volumes), 'refused at once')
  }
})

t.test('a file that is cut off while it is open is refused when it is read', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const { key, volumes } = caseOf(3, [65, 40, 6])
  const entry = (await put(tier, key, volumes))!
  truncateSync(entry.path, 1000)
  t.ok(isDamaged(await materialise(entry.volumes.image!.volume).catch((error: unknown) => error)))
  await t.rejects(entry.volumes.label!.volume.region!([0, 0, 5], [2, 2, 1]), { code: 'ERR_FILE', message: /damaged/ })
  t.equal(await tier.get(key), undefined)
  await entry.close()
})

t.test('files that changed places, or are of another version, are not taken', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const [a, b] = [caseOf(4, [33, 20, 4]), caseOf(5, [33, 20, 4])]
  for (const { key, volumes } of [a, b]) await (await put(tier, key, volumes))!.close()
  const pathOf = (key: string): string => join(folder, 'v1', `${nameOf(key)}.entry`)
  copyFileSync(pathOf(a.key), pathOf(b.key))
  t.equal(await outcomeOf(tier, b.key, b.volumes), 'refused at once')
  t.equal(await outcomeOf(tier, a.key, a.volumes), 'right')
  const bytes = readFileSync(pathOf(a.key))
  bytes.writeUInt32LE(2, 8)
  writeFileSync(pathOf(a.key), bytes)
  t.equal(await outcomeOf(tier, a.key, a.volumes), 'refused at once')
})

t.test('annexes: damaged or gone, they are made anew; never wrong', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const draws = rng(10, 0, 0, 'annex')
  const bytes = Uint8Array.from({ length: 3 * 4096 + 17 }, () => draws.integer(256))
  let made = 0
  const make = async (): Promise<Uint8Array> => {
    made += 1
    return bytes.slice()
  }
  const annex = await tier.annex('case', 'bits', make)
  t.equal(annex.bytes, bytes.length)
  const [file] = readdirSync(join(folder, 'v1'))
  const path = join(folder, 'v1', file!)
  const sound = readFileSync(path)
  await tier.annex('case', 'bits', make)
  t.equal(made, 1, 'kept beside the entry')
  t.same(await (await tier.annex('case', 'other', async () => Uint8Array.of(1))).read(0, 1), [1])
  for (let i = 0; i < 500; i++) {
    const spoilt = Buffer.from(sound)
    const place = i < 64 ? i : draws.integer(sound.length)
    spoilt[place]! ^= 1 << draws.integer(8)
    writeFileSync(path, spoilt)
    const again = await tier.annex('case', 'bits', make)
    const offset = draws.integer(bytes.length)
    const length = draws.integer(bytes.length - offset + 1)
    if (Buffer.compare(await again.read(offset, length), bytes.subarray(offset, offset + length)) !== 0)
      t.fail(`wrong bytes after a change at ${place}`)
  }
  t.comment(`made anew ${made - 1} times of 500`)
  t.ok(made > 100)
  writeFileSync(path, sound)
  const open = await tier.annex('case', 'bits', make)
  truncateSync(path, 100)
  t.same(await open.read(5000, 3), bytes.subarray(5000, 5003))
  t.same(await open.read(0, bytes.length), bytes)
  const removed = await tier.annex('case', 'bits', make)
  const damagedSoFar = tier.counts.damaged
  rmSync(path)
  t.same(await removed.read(5000, 3), bytes.subarray(5000, 5003))
  t.equal(tier.counts.damaged, damagedSoFar, 'what others removed is no damage')
  await t.rejects(open.read(bytes.length, 1), { message: /part of/ })
  t.same(await (await tier.annex('case', 'empty', async () => new Uint8Array(0))).read(0, 0), new Uint8Array(0))
})
