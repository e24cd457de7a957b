import t from 'tap'
import { applyOverrides } from '../../pipeline/overrides.ts'

const definition = {
  seed: 1,
  stages: [{ kind: 'load' }, { kind: 'crop', size: [1, 2, 3] }, { kind: 'pad' }, { kind: 'pad' }],
}

t.test('a field, a stage by kind, a stage by position, a value that is not JSON', async t => {
  const changed = applyOverrides(definition, [
    'seed=5',
    'stages.crop.size=[96,96,16]',
    'stages.0.parallel=3',
    'engine.threads=2',
    'output=runs/a b',
  ])
  t.same(changed, {
    seed: 5,
    stages: [{ kind: 'load', parallel: 3 }, { kind: 'crop', size: [96, 96, 16] }, { kind: 'pad' }, { kind: 'pad' }],
    engine: { threads: 2 },
    output: 'runs/a b',
  })
  t.equal(definition.seed, 1, 'the original is left alone')
})

t.test('an element of a list by position', async t => {
  t.same((applyOverrides(definition, ['stages.crop.size.2=32']) as typeof definition).stages[1]!.size, [1, 2, 32])
})

t.test('what cannot be meant is refused with the assignment', async t => {
  for (const [assignment, message] of [
    ['seed', /expected path.to.field=value/],
    ['=3', /expected path.to.field=value/],
    ['stages.crp.size=1', /expected one of the kinds load, crop/],
    ['stages.pad.size=1', /stands there 2 times/],
    ['stages.9.kind="load"', /there is no element 9/],
    ['seed.deeper=1', /seed is not an object/],
  ] as const) {
    t.throws(() => applyOverrides(definition, [assignment]), { code: 'ERR_DEFINITION', message })
  }
})

t.test('names that every object inherits are fields like others, and pollute nothing', async t => {
  const changed = applyOverrides({}, ['__proto__.polluted=1']) as object
  t.ok(Object.hasOwn(changed, '__proto__'))
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
})
