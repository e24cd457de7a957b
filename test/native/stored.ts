/** The addon's functions for kept voxels: right for any shape, an error for wrong arguments, never a crash. */

import t from 'tap'
import { fuzzed } from '../support/fuzz.ts'
import { skip } from '../support/kernels.ts'

t.test('any shape and any arguments', { skip }, async t => {
  const { counts, messages } = fuzzed(t, 'stored', 3000)
  t.ok(counts['right']! > 5000 && counts['refused']! > 700, 'enough of both kinds')
  const says =
    /is not|not an|must (be|begin)|has N elements|holds something|no such|too (large|few)|leaves the plane|not in the file/
  t.same(
    messages.filter(message => !says.test(message)),
    [],
    'each error says what was wrong',
  )
})
