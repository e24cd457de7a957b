/** The addon's inflater: what node:zlib gives and refuses, whatever the stream and the steps; never a crash. */

import t from 'tap'
import { fuzzed } from '../support/fuzz.ts'
import { skip } from '../support/kernels.ts'

t.test('any stream, in any steps, and any arguments', { skip }, async t => {
  const { counts, messages, spoiltMessages } = fuzzed(t, 'gunzip', 600)
  t.ok(counts['accepted']! > 500 && counts['refused']! > 700 && counts['spoilt']! > 50, 'enough of each kind')
  // Streams at random find 17 or 18 of them.
  t.ok(messages.length >= 15, `zlib refuses in nearly every way it has: ${messages.join(', ')}`)
  t.same(
    spoiltMessages.filter(message => !/^gunzip: .* is not (a|free)/.test(message)),
    [],
    'each error says what was wrong',
  )
})
