import { EventEmitter, once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { codeOf } from '../../pipeline/errors.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Claim, Yielding } from '../../pipeline/claims.ts'

/** Whether a promise has been kept by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await turn()
  return settled
}

t.test('claims wait for room, and go in the order in which they were made', async t => {
  const ledger = openLedger(100)
  const first = await ledger.claim('a', 60)
  const second = ledger.claim('b', 50)
  const third = ledger.claim('c', 10)
  t.notOk(await isSettled(third), 'c would fit, but b asked first')
  t.same(ledger.waiting(), { claims: 2, first: 'b', bytes: 50 })
  first.shrinkTo(50)
  t.ok(await isSettled(second))
  t.notOk(await isSettled(third))
  first.release()
  first.release()
  t.equal((await third).bytes, 10)
  t.equal(ledger.report().liveBytes, 60)
  t.equal(ledger.report().peakLiveBytes, 100)
})

t.test('who has not said how much yet keeps his place', async t => {
  const ledger = openLedger(100)
  const headers = new EventEmitter()
  const first = ledger.claim(
    'a',
    once(headers, 'read').then(([bytes]) => bytes as number),
  )
  const second = ledger.claim('b', 100)
  t.notOk(await isSettled(second))
  headers.emit('read', 30)
  t.equal((await first).bytes, 30)
  t.notOk(await isSettled(second))
  ;(await first).release()
  await second
})

t.test('what can never be granted fails alone and says how many bytes it needs', async t => {
  const ledger = openLedger(2 ** 30)
  ledger.reserve('the engine', 2 ** 29, 'lower the batch')
  const tooLarge = ledger.claim('scan 7', 2 ** 29 + 1)
  const fits = ledger.claim('scan 8', 2 ** 29)
  await t.rejects(tooLarge, { code: 'ERR_VOLUME', message: /scan 7: needs 512\.0 MiB.*at least 1\.00 GiB/ })
  await fits
  const unreadable = ledger.claim('scan 9', Promise.reject(new Error('no header')))
  await t.rejects(unreadable, /no header/)
  t.throws(() => ledger.reserve('a batch', 2 ** 29 + 1, 'lower the batch'), {
    code: 'ERR_DEFINITION',
    message: /1\.00 GiB.*lower the batch/,
  })
})

t.test('what yields goes for a claim, and what the claim pins does not', async t => {
  const ledger = openLedger(100)
  const entries = new Map([
    ['old', 40],
    ['wanted', 40],
  ])
  const cache: Yielding = ledger.yielding('cache', () => {
    for (const [name, bytes] of entries) {
      entries.delete(name)
      return cache.give(bytes)
    }
  })
  t.ok(cache.take(80))
  t.notOk(cache.take(21))
  t.equal(cache.room, 20)
  const hit = await ledger.claim('hit', 80, () => {
    entries.delete('wanted')
    cache.give(40)
  })
  t.same([...entries.keys()], [], 'the other one had to go')
  t.equal(ledger.report().liveBytes, 80)
  hit.whenReleased(() => t.ok(cache.take(40), 'back in the cache before anybody else comes'))
  hit.release()
  t.equal(cache.bytes, 40)
})

t.test('the end of a run ends all waiting', async t => {
  const ledger = openLedger(10)
  const held = await ledger.claim('a', 10)
  const waiting = ledger.claim('b', 1)
  ledger.close()
  await t.rejects(waiting, { code: 'ERR_INTERRUPTED', message: 'interrupted' })
  await t.rejects(ledger.claim('c', 1), { code: 'ERR_INTERRUPTED' })
  held.release()
  t.equal(ledger.report().liveBytes, 0)
})

/** What became of one case of a schedule. */
type Fate = 'done' | 'too large' | 'failed'

/**
 * A run in small: cases in order through a stage that works on `parallel` of them and hands them on in order, a consumer that
 * holds each for a while, a cache that pins and keeps. Every length, size and failure is drawn.
 */
async function schedule(random: Rng): Promise<{ fates: Fate[]; expected: Fate[]; limit: number; peak: number }> {
  const limit = 50 + random.integer(200)
  const ledger = openLedger(limit)
  const reserved = random.integer(40)
  ledger.reserve('engine', reserved, '')
  const kept = new Map<number, number>()
  const cache = ledger.yielding('cache', bytes => {
    let missing = bytes
    for (const [id, size] of kept) {
      if (missing <= 0) return
      kept.delete(id)
      cache.give(size)
      missing -= size
    }
  })
  const cases = 8
  const sizes = Array.from({ length: cases }, () => 1 + random.integer(120))
  const ids = Array.from({ length: 5 + random.integer(40) }, () => random.integer(cases))
  const parallel = 1 + random.integer(5)
  const pause = async (): Promise<void> => {
    for (let turns = random.integer(4); turns > 0; turns--) await turn()
  }
  const failing = ids.map(() => random.uniform() < 0.1)
  const fates: Fate[] = []
  const make = async (id: number, fails: boolean): Promise<{ fate: Fate; claim?: Claim }> => {
    const told = pause().then(() => sizes[id]!)
    try {
      let pinned = 0
      const claim = await ledger.claim(`case ${id}`, random.uniform() < 0.5 ? told : sizes[id]!, () => {
        pinned = kept.get(id) ?? 0
        if (pinned > 0) {
          kept.delete(id)
          cache.give(pinned)
        }
      })
      await pause()
      if (fails) {
        claim.release()
        return { fate: 'failed' }
      }
      const stays = Math.max(1, Math.floor(sizes[id]! * 0.6))
      claim.shrinkTo(stays)
      claim.whenReleased(() => {
        if (!kept.has(id) && random.uniform() < 0.8 && cache.take(stays)) kept.set(id, stays)
      })
      return { fate: 'done', claim }
    } catch (error) {
      if (codeOf(error) !== 'ERR_VOLUME') throw error
      return { fate: 'too large' }
    }
  }
  // The line: at most `parallel` at work, handed on in order.
  const atWork: Promise<{ fate: Fate; claim?: Claim }>[] = []
  let next = 0
  while (fates.length < ids.length) {
    while (atWork.length < parallel && next < ids.length) {
      atWork.push(make(ids[next]!, failing[next]!))
      next += 1
    }
    const { fate, claim } = await atWork.shift()!
    fates.push(fate)
    await pause()
    claim?.release()
    const { liveBytes } = ledger.report()
    if (liveBytes > limit) throw new Error(`${liveBytes} of ${limit} bytes`)
  }
  const report = ledger.report()
  if (report.liveBytes !== reserved + cache.bytes) throw new Error('something was not given back')
  const expected = ids.map((id, i): Fate =>
    sizes[id]! > limit - reserved ? 'too large' : failing[i] ? 'failed' : 'done',
  )
  return { fates, expected, limit, peak: report.peakLiveBytes }
}

t.test('no schedule waits for ever, takes more than there is, or loses a byte', { timeout: 120_000 }, async t => {
  const schedules = 400
  let fullest = 0
  for (let seed = 0; seed < schedules; seed++) {
    const done = schedule(rng(seed, 0, 0, 'ledger'))
    const { fates, expected, limit, peak } = await done
    if (peak > limit) t.fail(`seed ${seed}: ${peak} of ${limit} bytes`)
    if (JSON.stringify(fates) !== JSON.stringify(expected)) t.same(fates, expected, `seed ${seed}`)
    fullest = Math.max(fullest, peak / limit)
  }
  t.comment(`${schedules} schedules, the fullest took ${(100 * fullest).toFixed(0)} % of its limit`)
  t.ok(fullest > 0.9, 'the limit was felt')
})

t.test('after the end, whoever asks is refused, and what he meant to tell ends no process', async t => {
  const ledger = openLedger(100)
  ledger.close()
  await t.rejects(ledger.claim('late', Promise.reject(new Error('a header that is gone'))), { code: 'ERR_INTERRUPTED' })
  await turn()
})
