import t from 'tap'
import { caseOrder, randomOf } from '../../pipeline/random-mode.ts'
import { shuffled } from '../../pipeline/random.ts'

t.test('in numpy mode the transforms get the seeds that MONAI’s Compose gives, and are listed', async t => {
  const random = randomOf('numpy', 5)
  if (random.mode !== 'numpy') return t.fail('expected numpy')
  // MONAI 1.3.2: Compose([...]).set_random_state(5), then each transform's R.get_state()[1][0].
  t.same(
    [random.seedFor('RandFlipd x'), random.seedFor('RandRotate90d'), random.seedFor('other')],
    [953453411, 236996814, 3739766767],
  )
  t.same(random.transforms, ['RandFlipd x', 'RandRotate90d', 'other'])
})

t.test('counter mode knows no seeds of transforms', async t => {
  t.same(randomOf('counter', 5), { mode: 'counter' })
})

t.test('cases pass shuffled in counter mode, as listed in numpy mode', async t => {
  t.same(caseOrder('counter', 20, 3, 1), shuffled(20, 3, 1))
  for (const epoch of [0, 1]) t.same(caseOrder('numpy', 5, 3, epoch), [0, 1, 2, 3, 4])
})
