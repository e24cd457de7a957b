import t from 'tap'
import { casesOf, listDigest, parseShard, shardFromEnvironment, shardName, shareOf } from '../../pipeline/shard.ts'

const cases = (n: number): { id: string; index: number }[] =>
  Array.from({ length: n }, (_, index) => ({ id: `${(index * 7) % n}`, index }))

t.test('every case belongs to one shard, in the order of ids, and the list keeps its order', t => {
  for (const [n, count] of [
    [10, 1],
    [10, 3],
    [3, 5],
    [0, 2],
  ] as const) {
    const all = cases(n)
    const parts = Array.from({ length: count }, (_, i) => casesOf(all, { index: i + 1, count }))
    t.same(
      parts.flat().toSorted((a, b) => a.index - b.index),
      all,
      `${n} cases in ${count} shards`,
    )
    t.same(
      parts.map(part => part.length),
      parts.map((_, i) => shareOf(n, { index: i + 1, count })),
    )
    for (const part of parts)
      t.same(
        part,
        part.toSorted((a, b) => a.index - b.index),
      )
  }
  const names = ['b', 'a', 'B', 'ä', 'c'].map((id, index) => ({ id, index }))
  t.same(
    casesOf(names, { index: 1, count: 2 }).map(({ id }) => id),
    ['b', 'B', 'ä'],
    'B a b c ä: by code units, whatever the locale',
  )
  t.equal(casesOf(names, undefined), names)
  t.equal(listDigest(names), listDigest(names.toReversed()))
  t.not(listDigest(names), listDigest(names.slice(1)))
  t.end()
})

t.test('--shard', t => {
  t.same(parseShard('2/4'), { index: 2, count: 4 })
  t.same(parseShard('1/1'), { index: 1, count: 1 })
  for (const text of ['0/4', '5/4', '1', '1/0', '-1/4', '1/4/2', 'a/b', '', '1/1000000'])
    t.throws(() => parseShard(text), { code: 'ERR_DEFINITION', message: /expected i\/n/ }, text)
  t.end()
})

const slurm = (id: number, min: number, max: number, count: number, step = 1): Record<string, string> => ({
  SLURM_ARRAY_TASK_ID: `${id}`,
  SLURM_ARRAY_TASK_MIN: `${min}`,
  SLURM_ARRAY_TASK_MAX: `${max}`,
  SLURM_ARRAY_TASK_COUNT: `${count}`,
  SLURM_ARRAY_TASK_STEP: `${step}`,
})

const found = (env: Record<string, string>): unknown => shardFromEnvironment(env)?.shard

t.test('Slurm arrays, wherever their ids begin and however far they lie apart', t => {
  t.same(found(slurm(1, 1, 4, 4)), { index: 1, count: 4 })
  t.same(found(slurm(0, 0, 3, 4)), { index: 1, count: 4 })
  t.same(found(slurm(3, 0, 3, 4)), { index: 4, count: 4 })
  t.same(found(slurm(30, 10, 40, 4, 10)), { index: 3, count: 4 })
  t.same(found(slurm(7, 7, 7, 1)), { index: 1, count: 1 })
  for (const id of [1, 2, 7])
    t.throws(
      () => found(slurm(id, 1, 7, 3)),
      { code: 'ERR_DEFINITION', message: /equal distances.*--array=1-3/ },
      `--array=1,2,7: task ${id} too refuses`,
    )
  t.throws(() => found({ SLURM_ARRAY_TASK_ID: '1' }), { code: 'ERR_DEFINITION', message: /SLURM_ARRAY_TASK_COUNT/ })
  t.end()
})

t.test('Kubernetes indexed jobs count from 0, and their number must be told', t => {
  const env = { JOB_COMPLETION_INDEX: '3', CTFLOW_SHARDS: '4' }
  t.same(shardFromEnvironment(env)?.shard, { index: 4, count: 4 })
  t.match(shardFromEnvironment(env)?.from, 'JOB_COMPLETION_INDEX=3')
  t.throws(() => shardFromEnvironment({ JOB_COMPLETION_INDEX: '0' }), {
    code: 'ERR_DEFINITION',
    message: /set CTFLOW_SHARDS to the Job's "completions"/,
  })
  t.throws(() => shardFromEnvironment({ ...env, CTFLOW_SHARDS: '3' }), { message: /below CTFLOW_SHARDS=3/ })
  t.throws(() => shardFromEnvironment({ ...env, CTFLOW_SHARDS: 'all' }), { message: /expected a whole number/ })
  t.equal(shardFromEnvironment({}), undefined)
  t.end()
})

t.test("a shard's files have names of their own", t => {
  const shard = { index: 1, count: 4 }
  t.same(
    ['summary.json', 'manifest.jsonl', '.lock', '.running', 'sub/a.json'].map(name => shardName(name, shard)),
    ['summary-1-of-4.json', 'manifest-1-of-4.jsonl', '.lock-1-of-4', '.running-1-of-4', 'sub/a-1-of-4.json'],
  )
  t.equal(shardName('summary.json', undefined), 'summary.json')
  t.end()
})
