/** The chain against values recorded from MONAI and PyTorch: the checks of test/support/parity over every set there is. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { skipped } from '../support/backends.ts'
import { checks, describe, findings, referencesIn, type Finding } from '../support/parity/index.ts'
import { projectRoot, sharedPath } from '../support/shared.ts'

const recorded = join(projectRoot, 'fixtures', 'golden')
const shared = sharedPath('golden')
const sets = [...referencesIn(recorded, 'recorded'), ...(shared ? referencesIn(shared, 'golden') : [])]

t.test('recorded values of MONAI are there', { skip: shared ? false : 'shared data not found' }, async t => {
  t.ok(sets.length > 1)
})

t.test('a reference that is wrong is noticed', { skip: skipped('native') }, async t => {
  const index = JSON.parse(readFileSync(join(recorded, 'adam', 'index.json'), 'utf8'))
  index.adam_updates[2].parameter_after[5] += 1e-4
  const [spoiled] = referencesIn(t.testdir({ 'index.json': JSON.stringify(index) }), 'spoiled')
  const found: Finding[] = []
  for await (const finding of findings(checks, spoiled!)) found.push(finding)
  t.equal(found.length, 1)
  t.equal(found[0]!.within, false)
  t.ok(Math.abs(found[0]!.difference - 1e-4) < 1e-6)
})

for (const references of sets) {
  const options = { skip: skipped('native'), timeout: 600_000 }
  t.test(`${references.name}: the numbers are MONAI's`, options, async t => {
    let count = 0
    for await (const finding of findings(checks, references)) {
      t.comment(describe(finding))
      t.ok(finding.within, `${finding.check.step}: ${finding.check.quantity}`)
      count++
    }
    t.ok(count > 0, 'something was compared')
  })
}
