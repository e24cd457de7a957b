import { PassThrough } from 'node:stream'
import t from 'tap'
import { createProgress } from '../../pipeline/progress.ts'

t.test('an infinite metric survives in progress for machines', async t => {
  const out = new PassThrough()
  const progress = createProgress('json', out as unknown as NodeJS.WriteStream)
  progress.event('score', { case: 'a', hd: Infinity, hd95: null, dice: 0.5 }, 'a  hd inf')
  progress.close()
  t.same(JSON.parse(String(out.read())), { type: 'score', case: 'a', hd: 'inf', hd95: null, dice: 0.5 })
})
