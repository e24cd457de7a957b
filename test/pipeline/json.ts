import t from 'tap'
import { jsonReady, toJson } from '../../pipeline/json.ts'

t.test('infinities survive as words, wherever they are; the rest is as ever', async t => {
  t.equal(
    toJson({ a: Infinity, b: [-Infinity, 1, null, NaN], c: 'inf' }),
    '{"a":"inf","b":["-inf",1,null,null],"c":"inf"}',
  )
  t.equal(toJson({ a: 1 }, 2), JSON.stringify({ a: 1 }, null, 2))
})

t.test('what is ready for JSON is written the same by JSON.stringify', async t => {
  const value = { mean: Infinity, deep: { list: [0.1, -Infinity] }, none: null }
  t.equal(JSON.stringify(jsonReady(value)), toJson(value))
  t.equal(value.mean, Infinity, 'and the original stays')
})
