import t from 'tap'
import { jsonValue, parseJson, type Json } from '../../../interop/mmar/json.ts'
import { assignmentOf, globalsOf, resolve, variablesFrom, type Resolved } from '../../../interop/mmar/variables.ts'

function resolved(value: Json, variables: Record<string, Json> = {}): Resolved {
  return resolve(jsonValue(value, 'a.json'), variablesFrom(['test', Object.entries(variables)]))
}

t.test('a text that is only a placeholder takes the type of the value, others its text', async t => {
  const variables = { n: 3, off: false, none: null, list: [1, '{n}'], dir: '/data' }
  t.same(resolved(['{n}', '{off}', '{none}', '{list}', '{dir}/{n}', 'n', '{}', '{ n }'], variables).value, [
    3,
    false,
    null,
    [1, 3],
    '/data/3',
    'n',
    '{}',
    '{ n }',
  ])
})

t.test('placeholders inside the values of others are filled in, in any order', async t => {
  t.same(resolved({ a: '{path}' }, { path: '{root}/{name}.json', root: '{base}', base: '/x', name: 'list' }).value, {
    a: '/x/list.json',
  })
})

t.test('a placeholder without a value stays, and is told with its path and the nearest name', async t => {
  const { value, unknown } = resolved({ train: [{ 'a/b': '{epoch}' }, '{epochs}/{what}'] }, { epochs: 3 })
  t.same(value, { train: [{ 'a/b': '{epoch}' }, '3/{what}'] })
  t.same(unknown, [
    { pointer: '/train/0/a~1b', name: 'epoch', near: 'epochs' },
    { pointer: '/train/1', name: 'what' },
  ])
})

t.test('braces of Python are left alone where no variable has their name', async t => {
  const { value, unknown } = resolved(['lambda x: {x}', '#f({y})', 'lambda x: x > {low}'], { low: 2 })
  t.same(value, ['lambda x: {x}', '#f({y})', 'lambda x: x > 2'])
  t.same(unknown, [])
})

t.test('placeholders that expand to themselves are refused with their chain', async t => {
  t.throws(() => resolved({ b: ['{a}'] }, { a: '{b}', b: '{c}', c: '{a}' }), {
    code: 'ERR_DEFINITION',
    message: /a.json \/b\/0: .*\{a\} -> \{b\} -> \{c\} -> \{a\}.*--set a=/,
  })
  t.throws(() => resolved('{a}', { a: '{a}' }), { code: 'ERR_DEFINITION' })
  t.throws(() => resolved('{a}', { a: ['x{a}'] }), { code: 'ERR_DEFINITION' })
})

t.test('placeholders that multiply end soon', async t => {
  const names = Array.from({ length: 40 }, (_, i) => `v${i}`)
  const lists = Object.fromEntries(names.map((name, i) => [name, i === 39 ? 1 : [`{v${i + 1}}`, `{v${i + 1}}`]]))
  t.throws(() => resolved('{v0}', lists), { code: 'ERR_DEFINITION', message: /expand to more/ })
  const texts = Object.fromEntries(names.map((name, i) => [name, i === 39 ? 'x' : `{v${i + 1}} {v${i + 1}}`]))
  t.throws(() => resolved('{v0}', texts), { code: 'ERR_DEFINITION', message: /expand to more/ })
  const chain = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`v${i}`, `{v${i + 1}}`]))
  t.throws(() => resolved('{v0}', chain), { code: 'ERR_DEFINITION', message: /nested too deeply/ })
})

t.test('later sources win, and each value knows its own', async t => {
  const variables = variablesFrom(
    [
      'a',
      [
        ['x', 1],
        ['y', 1],
      ],
    ],
    ['b', [['x', 2]]],
  )
  t.same(
    [...variables],
    [
      ['x', { value: 2, source: 'b' }],
      ['y', { value: 1, source: 'a' }],
    ],
  )
})

t.test('assignments are JSON, Python, or text', async t => {
  for (const [text, value] of [
    ['a=1e-4', 1e-4],
    ['a=True', true],
    ['a=None', null],
    ['a=false', false],
    ['a=[1,2]', [1, 2]],
    ['a=/data/x=y', '/data/x=y'],
    ['a=', ''],
    ['a="3"', '3'],
  ] as const)
    t.same(assignmentOf(text), ['a', value], text)
  for (const text of ['=1', 'a', 'a.b=1', '1a=2']) t.throws(() => assignmentOf(text), { code: 'ERR_DEFINITION' }, text)
})

t.test('sections and components are no variables, and inherited names are no values', async t => {
  const file = parseJson('{"a": 1, "b": [1], "train": {}, "handlers": [{}], "__proto__": 2}', 'a.json')
  t.same(
    globalsOf(file).map(([name]) => name),
    ['a', 'b', '__proto__'],
  )
  t.same(
    resolved(['{constructor}', '{toString}']).unknown.map(({ name }) => name),
    ['constructor', 'toString'],
  )
  const hostile = resolve(parseJson('{"x": {"__proto__": {"polluted": 1}}}', 'a.json'), new Map())
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
  t.equal(JSON.stringify(hostile.value), '{"x":{"__proto__":{"polluted":1}}}')
})
