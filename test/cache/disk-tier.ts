import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeAll, type Write } from '../../cache/checked-file.ts'
import { nameOf } from '../../cache/key.ts'
import { materialise } from '../../imaging/volume.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skip } from '../support/kernels.ts'
import { noMount } from '../support/small-disk.ts'
import { allOf, caseOf, put, sameBits, tierOf } from '../support/stored.ts'
import { encode } from '../../cache/chunk.ts'
import type { DiskTier } from '../../cache/disk-tier.ts'

const shape: Shape3 = [40, 30, 10]
const { volumes } = caseOf(0, shape)

async function keep(tier: DiskTier, key: string, expected?: number): Promise<boolean> {
  const entry = await put(tier, key, volumes, 'exact', expected)
  await entry?.close()
  return entry !== undefined
}

async function has(tier: DiskTier, key: string): Promise<boolean> {
  const entry = await tier.get(key)
  await entry?.close()
  return entry !== undefined
}

function namesIn(folder: string): string[] {
  return readdirSync(join(folder, 'v1')).toSorted()
}

function entryBytes(folder: string): number {
  return statSync(
    join(
      folder,
      'v1',
      namesIn(folder).find(name => name.endsWith('.entry'))!,
    ),
  ).size
}

/** An error as the system would give it. */
function refusal(code: string): Error {
  return Object.assign(new Error(`${code}: refused, write`), { code, syscall: 'write' })
}

t.test(
  'a pipe in the place of an entry keeps nobody waiting',
  { skip: skip || process.platform === 'win32' },
  async t => {
    const folder = t.testdir()
    const tier = await tierOf(folder)
    execFileSync('mkfifo', [join(folder, 'v1', `${nameOf('a')}.entry`)])
    t.notOk(await has(tier, 'a'))
    t.ok(await keep(tier, 'a'), 'and makes room for one')
    t.ok(await has(tier, 'a'))
  },
)

t.test('the longest unused goes first, with its annexes; use counts across tiers', { skip }, async t => {
  const folder = t.testdir()
  await keep(await tierOf(folder), 'measure')
  const limitBytes = 3.5 * entryBytes(folder)
  rmSync(join(folder, 'v1'), { recursive: true })
  const tier = await tierOf(folder, { limitBytes })
  for (const [i, key] of ['a', 'b', 'c'].entries()) {
    t.ok(await keep(tier, key))
    const path = join(folder, 'v1', `${nameOf(key)}.entry`)
    utimesSync(path, 1000 + i, 1000 + i)
  }
  await tier.annex('b', 'bits', async () => new Uint8Array(100))
  utimesSync(
    join(
      folder,
      'v1',
      namesIn(folder).find(name => name.endsWith('.annex'))!,
    ),
    1001,
    1001,
  )
  const other = await tierOf(folder, { limitBytes })
  t.ok(await has(other, 'a'), 'another process uses a')
  const third = await tierOf(folder, { limitBytes })
  t.ok(await keep(third, 'd'))
  t.equal(third.counts.evicted, 1)
  t.same(await Promise.all(['a', 'b', 'c', 'd'].map(key => has(third, key))), [true, false, true, true])
  t.notOk(
    namesIn(folder).some(name => name.startsWith(nameOf('b'))),
    'nor is its annex there',
  )
})

t.test('what the run wants sooner than the newcomer stays, and then nothing is written', { skip }, async t => {
  const folder = t.testdir()
  const uses = new Map(
    [
      ['a', 5],
      ['b', 9],
      ['c', 7],
      ['d', 2],
      ['e', 20],
    ].map(([key, n]) => [nameOf(String(key)), Number(n)]),
  )
  await keep(await tierOf(folder), 'a stranger')
  const limitBytes = 3.5 * entryBytes(folder)
  const tier = await tierOf(folder, { limitBytes, nextUse: name => uses.get(name) })
  t.ok((await keep(tier, 'a')) && (await keep(tier, 'b')))
  t.ok(await keep(tier, 'c'), 'the stranger goes first')
  t.notOk(await has(tier, 'a stranger'))
  const before = tier.counts.bytesWritten
  t.notOk(await keep(tier, 'e'), 'all others are wanted sooner')
  t.equal(tier.counts.bytesWritten, before)
  t.ok(await keep(tier, 'd'))
  t.same(
    await Promise.all(['a', 'b', 'c', 'd'].map(key => has(tier, key))),
    [true, false, true, true],
    'b was wanted last',
  )
  t.ok(await keep(tier, 'd'), 'an entry replaces itself')
  t.equal(tier.counts.evicted, 2)
  t.ok(tier.isWritable)
})

t.test('an entry that is larger than the limit is not kept, and nobody goes for it', { skip }, async t => {
  const folder = t.testdir()
  t.ok(await keep(await tierOf(folder), 'a'))
  const tier = await tierOf(folder, { limitBytes: entryBytes(folder) - 1 })
  t.notOk(await keep(tier, 'b'))
  t.same(namesIn(folder), [`${nameOf('a')}.entry`])
})

t.test('a disk that fills up: said once, nothing half done is left, what is there is still read', { skip }, async t => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EIO']) {
    // At each write of an entry in turn: bricks, checksums, head, preamble.
    let writes = 0
    const counting: Write = async (...args) => {
      writes += 1
      await writeAll(...args)
    }
    const folder = t.testdir()
    t.ok(await keep(await tierOf(folder, { write: counting }), 'a'))
    t.equal(writes, 6)
    for (let failing = 1; failing <= writes; failing++) {
      const told: string[] = []
      let left = failing
      const write: Write = async (file, bytes, position) => {
        left -= 1
        if (left > 0) return writeAll(file, bytes, position)
        await writeAll(file, bytes.subarray(0, bytes.length / 2), position)
        throw refusal(code)
      }
      const tier = await tierOf(folder, { write, tell: message => told.push(message) })
      t.notOk(await keep(tier, 'b'))
      t.notOk(await keep(tier, 'c'))
      t.notOk(tier.isWritable)
      t.same(await (await tier.annex('b', 'bits', async () => Uint8Array.of(7))).read(0, 1), [7])
      t.ok(await has(tier, 'a'))
      t.equal(told.length, 1)
      t.match(told[0], code === 'ENOSPC' ? /the disk is full; the run goes on/ : /the run goes on/)
      t.same(namesIn(folder), [`${nameOf('a')}.entry`])
    }
  }
})

t.test('a source that fails while it is kept says so itself, and the tier goes on', { skip }, async t => {
  const folder = t.testdir()
  const tier = await tierOf(folder)
  const failing = {
    grid: volumes.image!.grid,
    async *slabs() {
      yield { z: 0, planes: 1, voxels: volumes.image!.resident!.subarray(0, 1200) }
      throw new Error('the scan is truncated')
    },
  }
  await t.rejects(put(tier, 'a', { label: volumes.label!, image: failing }), { message: 'the scan is truncated' })
  const writer = (await tier.create('b', 1))!
  writer.begin('image', volumes.image!)
  const [chunk] = await allOf(encode(volumes.image!, 'exact'))
  const appending = writer.append('image', chunk!)
  await writer.abandon()
  await appending
  t.equal(await writer.commit(null), undefined)
  await t.rejects(
    (async () => {
      const unfinished = (await tier.create('c', 1))!
      unfinished.begin('image', volumes.image!)
      await unfinished.commit(null)
    })(),
    { message: /10 planes were begun, 0 came/ },
  )
  t.same(namesIn(folder), [])
  t.ok(tier.isWritable && (await keep(tier, 'd')))
})

t.test('folders that cannot be: a file in the way, nothing allowed, below a device', { skip }, async t => {
  const folder = t.testdir({ file: 'x', other: { v1: 'x' } })
  const isRoot = process.getuid?.() === 0
  mkdirSync(join(folder, 'locked'))
  chmodSync(join(folder, 'locked'), 0o500)
  const paths = ['file', 'file/below', 'other', '/proc/ctflow-cache', ...(isRoot ? [] : ['locked'])]
  for (const path of paths) {
    const told: string[] = []
    const tier = await tierOf(path.startsWith('/') ? path : join(folder, path), { tell: message => told.push(message) })
    t.notOk(await keep(tier, 'a'))
    t.equal(await tier.get('a'), undefined)
    t.same(await (await tier.annex('a', 'bits', async () => Uint8Array.of(7))).read(0, 1), [7])
    t.equal(told.length, 1, path)
    t.match(told[0], /keeps nothing more: .*the run goes on without/)
  }
})

t.test('a folder that vanishes while it is used', { skip }, async t => {
  const folder = t.testdir()
  const told: string[] = []
  const tier = await tierOf(folder, { tell: message => told.push(message) })
  t.ok(await keep(tier, 'a'))
  rmSync(join(folder, 'v1'), { recursive: true })
  t.notOk(await has(tier, 'a'))
  t.notOk(await keep(tier, 'b'))
  t.match(told, [/the folder is gone/])
})

t.test('leftovers of dead processes go; those of living ones, strangers and other versions stay', { skip }, async t => {
  const folder = t.testdir({ v0: { 'x.entry': 'old' }, v2: { 'y.entry': 'new' } })
  await keep(await tierOf(folder), 'a')
  // Whatever a writer names its file, seen while it writes.
  const writer = (await (await tierOf(folder)).create('b', 1))!
  const mine = namesIn(folder).find(name => name.endsWith('.tmp'))!
  const nobody = mine.replace(`-${process.pid}-`, '-4194304-')
  const elsewhere = mine.replace(/\.[0-9a-f]{8}-/, '.00000000-')
  const old = elsewhere.replace(/[0-9a-f]{8}\.tmp/, '00000000.tmp')
  for (const name of [nobody, elsewhere, old, 'README', 'x.tmp']) writeFileSync(join(folder, 'v1', name), 'x')
  utimesSync(join(folder, 'v1', old), 1000, 1000)
  await tierOf(folder)
  t.same(namesIn(folder), [`${nameOf('a')}.entry`, mine, elsewhere, 'README', 'x.tmp'].toSorted())
  t.same([readdirSync(join(folder, 'v0')), readdirSync(join(folder, 'v2'))], [['x.entry'], ['y.entry']])
  await writer.abandon()
  t.notOk(namesIn(folder).includes(mine))
})

t.test('the disk keeps some bytes free: what nobody needs goes, then nothing more is kept', { skip }, async t => {
  const folder = t.testdir()
  t.ok(await keep(await tierOf(folder), 'a'))
  const told: string[] = []
  const tier = await tierOf(folder, { keepFreeBytes: 2 ** 60, tell: message => told.push(message) })
  t.notOk(await keep(tier, 'b'))
  t.notOk(await keep(tier, 'c'))
  t.match(told, [/less than .* of the disk would stay free/])
  t.equal(told.length, 1)
  t.ok(await has(tier, 'a'), 'nobody goes in vain')
})

t.test('a disk that really is full, and one that is read-only', { skip: skip || noMount() }, async t => {
  const folder = t.testdir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder])
  try {
    const told: string[] = []
    const tier = await tierOf(folder, { tell: message => told.push(message) })
    const kept: string[] = []
    for (let i = 0; i < 20; i++) if (await keep(tier, `${i}`, 1)) kept.push(`${i}`)
    t.ok(kept.length > 5 && kept.length < 20)
    t.match(told, [/the disk is full/])
    t.equal(told.length, 1)
    t.equal(namesIn(folder).length, kept.length, 'nothing half done')
    for (const key of kept) {
      const entry = (await tier.get(key))!
      t.ok(sameBits(await materialise(entry.volumes.image!.volume), volumes.image!.resident!))
      await entry.close()
    }
    // Told what comes, it lets the oldest go before, though the limit is far away.
    const careful = await tierOf(folder, { keepFreeBytes: 2 ** 18 })
    t.ok(await keep(careful, 'new'))
    t.ok(careful.counts.evicted > 0)
    execFileSync('mount', ['-o', 'remount,ro', folder])
    const said: string[] = []
    const reader = await tierOf(folder, { tell: message => said.push(message) })
    t.ok(await has(reader, 'new'))
    t.notOk(await keep(reader, 'another'))
    t.match(said, [/read-only/])
  } finally {
    execFileSync('umount', [folder])
  }
})
