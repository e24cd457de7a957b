import t from 'tap'
import type { PlannedCase, PlannedSection } from '../../../pipeline/explain/cases.ts'
import { planMemory } from '../../../pipeline/explain/memory.ts'
import type { Plan } from '../../../pipeline/planned.ts'
import { stageOf } from '../../../stages/index.ts'
import { optionsFrom } from '../../support/stage.ts'

const mib = 2 ** 20

/** A section of equal cases: what they claim, what a cache keeps of them, what they need later. */
function section(
  name: string,
  stages: readonly { kind: string; [option: string]: unknown }[],
  count: number,
  { bytes, entry, later, passes }: { bytes: number; entry: number; later: number; passes: number },
): PlannedSection {
  const plan = (flow: Plan['flow'], resident: number): Plan => ({
    flow,
    volumes: {},
    steps: [],
    items: 1,
    resident,
    bytes,
  })
  const cases = Array.from({ length: count }, (_, index): PlannedCase => ({
    case: { id: `${name}-${index}`, index },
    files: [],
    isOnDisk: false,
    plans: stages.map(({ kind }) => plan(stageOf(kind).gives, kind === 'load' ? 0 : entry)),
    need: { bytes, later },
  }))
  return {
    name,
    stages: stages.map(each => optionsFrom(stageOf(each.kind) as never, each)),
    passes,
    cases,
    failures: [],
  }
}

const definition = (memory: string | number): Parameters<typeof planMemory>[0] => ({
  memory,
  stages: [],
  random: 'counter',
  seed: 1,
})
const training = [{ kind: 'load' }, { kind: 'cache', parallel: 2 }, { kind: 'crop' }, { kind: 'batch' }]
const reserves = [
  { what: 'the network', bytes: 100 * mib, cure: '' },
  { what: 'patches and batches', bytes: 20 * mib, cure: '' },
]
const sizes = { bytes: 50 * mib, entry: 10 * mib, later: 1 * mib, passes: 5 }

t.test('with room for all the peak is what is reserved, in use, and kept', t => {
  const plan = planMemory(definition('4GiB'), [section('training', training, 20, sizes)], reserves)
  t.equal(plan.roomBytes, 4096 * mib - 120 * mib)
  t.equal(plan.casesAtOnce, 4, 'two being made, one being prepared, one being cut')
  t.match(plan.cache, { cases: 20, bytes: 200 * mib, holds: 20, hitRate: 1 })
  // Two that are made, two in use, sixteen kept.
  t.equal(plan.peakBytes, (120 + 2 * 50 + 2 * 11 + 16 * 10) * mib)
  t.same(plan.tooLarge, [])
  t.equal(plan.largest!.bytes, 50 * mib)
  t.end()
})

t.test('where cases are made sooner than used up, most of them wait with their volumes alone', t => {
  const sections = [section('training', training, 3, { ...sizes, bytes: 12 * mib })]
  const faster = new Map([['training', { shrink: [1, 1, 1] as const, isLoadingFaster: true }]])
  // One that is made and two that wait, or the first two of an epoch being made, and the third kept.
  t.equal(planMemory(definition('4GiB'), sections, reserves, faster).peakBytes, (120 + 12 + 11 + 11) * mib)
  t.equal(planMemory(definition('4GiB'), sections, reserves).peakBytes, (120 + 12 + 12 + 11) * mib)
  t.end()
})

t.test('what passes again is kept beside the passes of other sections', t => {
  const validation = [{ kind: 'load' }, { kind: 'cache' }, { kind: 'infer' }, { kind: 'dice' }]
  const large = { ...sizes, bytes: 80 * mib }
  const sections = [section('training', training, 10, sizes), section('validation', validation, 4, large)]
  const plan = planMemory(definition('8GiB'), sections, reserves)
  t.equal(plan.peakBytes, (120 + 2 * 80 + 2 * 11 + 10 * 10) * mib)
  t.end()
})

t.test('volumes that turn out smaller take less in the cache', t => {
  const sections = [section('training', training, 10, sizes)]
  const half = new Map([['training', { shrink: [1, 1, 0.5] as const, isLoadingFaster: false }]])
  const inexact = sections.map(each => ({
    ...each,
    cases: each.cases.map(found => ({
      ...found,
      plans: found.plans.map(plan => ({ ...plan, volumes: { image: { isExact: false } as never } })),
    })),
  }))
  t.equal(planMemory(definition('8GiB'), inexact, reserves, half).cache!.bytes, 50 * mib)
  t.equal(
    planMemory(definition('8GiB'), sections, reserves, half).cache!.bytes,
    100 * mib,
    'where headers tell, they do',
  )
  t.end()
})

t.test('with less room the limit is the peak, and the cache holds a part', t => {
  const plan = planMemory(definition('300MiB'), [section('training', training, 40, sizes)], reserves)
  t.equal(plan.peakBytes, 300 * mib)
  t.ok(plan.cache!.holds > 0 && plan.cache!.holds < 40, `${plan.cache!.holds} of 40`)
  t.ok(plan.cache!.hitRate >= plan.cache!.holds / 40 && plan.cache!.hitRate < 1)
  t.end()
})

t.test('cases that can never have what they need are named, and left out', t => {
  const sections = [
    section('training', training, 3, sizes),
    section('validation', training, 1, { ...sizes, bytes: 900 * mib }),
  ]
  const plan = planMemory(definition('512MiB'), sections, reserves)
  t.same(plan.tooLarge, [{ case: 'validation-0', bytes: 900 * mib }])
  t.equal(plan.largest!.case, 'training-0')
  t.end()
})

t.test('what passes once is not kept', t => {
  const validation = [{ kind: 'load' }, { kind: 'cache' }, { kind: 'infer' }, { kind: 'dice' }]
  const once = { ...sizes, passes: 1 }
  const sections = [section('training', training, 10, sizes), section('testing', validation, 30, once)]
  const plan = planMemory(definition('8GiB'), sections, reserves)
  t.match(plan.cache, { cases: 10, bytes: 100 * mib })
  t.equal(plan.peakBytes, (120 + 2 * 50 + 2 * 11 + 6 * 10) * mib, 'those of training, which are gone by then')
  t.end()
})

t.test('without a cache cases hold what they claim, as many as are at work', t => {
  const infer = [{ kind: 'load' }, { kind: 'crop-foreground', parallel: 2 }, { kind: 'infer' }, { kind: 'save' }]
  const plan = planMemory(definition('1GiB'), [section('testing', infer, 9, { ...sizes, passes: 1 })], reserves)
  t.equal(plan.cache, null)
  t.equal(plan.casesAtOnce, 5)
  t.equal(plan.peakBytes, (120 + 5 * 50) * mib)
  t.end()
})

t.test('a cache on disk or of nothing keeps nothing in memory', t => {
  for (const policy of ['disk', 'none']) {
    const stages = training.map(stage => (stage.kind === 'cache' ? { ...stage, policy } : stage))
    const plan = planMemory(definition('4GiB'), [section('training', stages, 20, sizes)], reserves)
    t.match(plan.cache, { policy, roomBytes: 0, hitRate: 0 })
    t.equal(plan.peakBytes, (120 + 2 * 50 + 2 * 11) * mib)
  }
  t.end()
})
