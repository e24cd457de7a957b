import { existsSync } from 'node:fs'
import t from 'tap'
import { processorTime, usageBetween, watchUsage } from '../../bench/contention.ts'

t.test('the threads of a process are added up', async t => {
  t.same(processorTime(['100 20 3\n', '5 1 1\n']), { ran: 105, waited: 21 })
})

t.test('contention is the share of the wanted processor time that was not given', async t => {
  t.same(usageBetween({ ran: 1e9, waited: 0 }, { ran: 4e9, waited: 1e9 }), { processorSeconds: 3, contention: 0.25 })
  t.same(usageBetween({ ran: 5, waited: 5 }, { ran: 5, waited: 5 }), { processorSeconds: 0, contention: 0 })
  t.same(usageBetween({ ran: 5, waited: 5 }, { ran: 1, waited: 1 }), { processorSeconds: 0, contention: 0 })
})

t.test('a process that is not there has no usage', async t => t.equal(watchUsage(2 ** 30)(), undefined))

const skip = existsSync('/proc/self/schedstat') ? false : 'the system does not count processor time of threads'
t.test('work of this process is seen', { skip }, async t => {
  const watch = watchUsage(process.pid)
  const until = process.cpuUsage().user + 50_000
  while (process.cpuUsage().user < until);
  const { processorSeconds, contention } = watch()!
  t.comment(`${processorSeconds} s, contention ${contention}`)
  t.ok(processorSeconds > 0.02)
  t.ok(contention >= 0 && contention <= 1)
})
