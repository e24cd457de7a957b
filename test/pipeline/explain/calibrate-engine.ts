import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { timeEngine } from '../../../pipeline/explain/calibrate-engine.ts'
import type { Engine } from '../../../pipeline/engine.ts'
import type { Shape3 } from '../../../pipeline/grid.ts'

const work = { windows: [[32, 32, 8]] as Shape3[] }

/** An engine whose n-th call takes so long, ms. */
function engineOf(duration: (call: number) => number): Engine {
  let calls = 0
  return { infer: () => sleep(duration(calls++)) } as unknown as Engine
}

t.test('one call that something else delays is not taken for all of them', async t => {
  // The first warms up; the second is the one that tells whether a whole window is worth its time.
  const { window } = await timeEngine(
    engineOf(call => (call === 1 ? 100 : 2)),
    work,
    0.5,
  )
  t.equal(window!.measured, 'the whole call')
  t.ok(window!.effort.wall < 0.1, `${window!.effort.wall} s`)
})

t.test('what takes long is told from a smaller patch', async t => {
  const { window } = await timeEngine(
    engineOf(() => 50),
    work,
    0.2,
  )
  t.equal(window!.measured, 'a smaller patch')
  t.ok(window!.effort.wall > 64 * 0.045)
})
