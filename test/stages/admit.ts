import t from 'tap'
import { PipelineError } from '../../pipeline/errors.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import type { Need } from '../../pipeline/claims.ts'
import { admitted, needOf } from '../../stages/admit.ts'
import { sampleWith } from '../support/stage.ts'

const needing = (need: () => Promise<Need>): ReturnType<typeof sampleWith> => ({ ...sampleWith({}), need })

t.test('a header that cannot be read claims nothing: the stage that opens it reports it', async t => {
  const unreadable = needing(() => Promise.reject(new PipelineError('ERR_FILE', 'truncated')))
  t.same(await needOf(unreadable), { bytes: 0, later: 0 })
  t.same(await needOf(sampleWith({})), { bytes: 0, later: 0 })
})

t.test('a bug while the need is told is not hidden, and holds nobody up', async t => {
  const ledger = openLedger(100)
  const wrong = needing(() => Promise.reject(new TypeError('a bug')))
  await t.rejects(
    admitted(wrong, { ledger }, async () => {}),
    { message: 'a bug' },
  )
  ;(await ledger.claim('next', 100)).release()
})

t.test('a failure gives the memory back, a success leaves that to whoever has the result', async t => {
  const ledger = openLedger(100)
  const sample = needing(async () => ({ bytes: 60, later: 60 }))
  await t.rejects(
    admitted(sample, { ledger }, async () => {
      throw new PipelineError('ERR_VOLUME', 'unlucky')
    }),
    { code: 'ERR_VOLUME' },
  )
  t.equal(ledger.report().liveBytes, 0)
  const claim = await admitted(sample, { ledger }, async ({ claim }) => claim)
  t.equal(ledger.report().liveBytes, 60)
  await admitted({ ...sample, claim }, { ledger }, async () => {})
  t.equal(ledger.report().liveBytes, 60, 'a case claims once')
  claim.release()
  t.equal(ledger.report().liveBytes, 0)
})
