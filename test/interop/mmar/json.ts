import { join } from 'node:path'
import t from 'tap'
import { formatJson, parseJson, placeIn, readJsonFile, sameJson, showPlace } from '../../../interop/mmar/json.ts'

t.test('every value has its line, and what is not in the file that of what is around it', async t => {
  const file = parseJson('{\n  "a": [\n    1,\n    { "b/c": 2 }\n  ],\n  "0": 3\n}', 'x.json')
  const lines = ['', '/a', '/a/0', '/a/1', '/a/1/b~1c', '/a/7', '/0', '/none'].map(pointer => file.lineOf(pointer))
  t.same(lines, [1, 2, 3, 4, 4, 2, 6, 1])
  t.equal(showPlace(placeIn(file, '/a/1')), 'x.json:4 /a/1')
})

t.test('damaged files are refused with line and column', async t => {
  for (const [text, message] of [
    ['', /x.json:1:1: not valid JSON: the file is empty/],
    ['{\n "a": 1,,\n}', /x.json:2:9: not valid JSON/],
    ['{"a": NaN}', /x.json:1:7: not valid JSON/],
    ['{"a": 1', /x.json:1:8: not valid JSON/],
    ['{"a": 1} // comment', /x.json:1:\d+: not valid JSON/],
    ['['.repeat(100_000), /at most 100 levels of nesting, found 100000/],
    [`{"a": ${'{"a":'.repeat(200)}1${'}'.repeat(201)}`, /levels of nesting, found 201/],
  ] as const)
    t.throws(() => parseJson(text, 'x.json'), { code: 'ERR_FILE', message }, text.slice(0, 30))
  t.doesNotThrow(() => parseJson(`["${'['.repeat(500)}\\"["]`, 'x.json'), 'brackets in texts do not nest')
})

t.test('what is no ordinary file is not read', async t => {
  const dir = t.testdir({ folder: {}, 'bom.json': '\uFEFF{"a": 1}', file: '' })
  t.throws(() => readJsonFile(join(dir, 'folder'), 'folder'), { code: 'ERR_FILE', message: /it is a folder/ })
  t.throws(() => readJsonFile('/dev/zero', 'zero'), { code: 'ERR_FILE', message: /not an ordinary file/ })
  t.throws(() => readJsonFile(join(dir, 'bom.json'), 'bom', 4), { code: 'ERR_FILE', message: /more than the 4/ })
  t.equal(readJsonFile(join(dir, 'none'), 'none'), undefined)
  t.equal(readJsonFile(join(dir, 'file/none'), 'none'), undefined)
  t.same(readJsonFile(join(dir, 'bom.json'), 'bom')!.value, { a: 1 })
})

t.test('equality of JSON', async t => {
  t.ok(sameJson({ a: [1, { b: null }], c: 'x' }, { c: 'x', a: [1, { b: null }] }))
  for (const [a, b] of [
    [[1], [1, 2]],
    [{ a: 1 }, { b: 1 }],
    [{}, []],
    [1, '1'],
    [null, {}],
    [{ a: 1 }, { a: 1, b: 2 }],
  ] as const)
    t.notOk(sameJson(a as never, b as never))
})

t.test('formatted JSON is the same JSON, and short parts stand on a line', async t => {
  const value = {
    a: [1, 2, 3],
    b: { kind: 'x', list: [] },
    c: 'text',
    empty: {},
    long: Array.from({ length: 60 }, (_, i) => i),
  }
  const text = formatJson(value)
  t.same(JSON.parse(text), value)
  t.ok(text.includes('\n  "a": [1, 2, 3],\n'))
  t.ok(text.split('\n').every(line => line.length <= 110))
})
