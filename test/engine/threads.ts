import { availableParallelism } from 'node:os'
import t from 'tap'
import { cgroupProcessors, resolveThreads } from '../../engine/threads.ts'

const files =
  (content: Readonly<Record<string, string>>) =>
  (path: string): string | undefined =>
    content[path]

t.test('what the definition asks for wins', t => {
  t.equal(resolveThreads(7), 7)
  t.end()
})

t.test('without it, at least one thread and no more than the processors', t => {
  const threads = resolveThreads()
  t.ok(threads >= 1 && threads <= availableParallelism())
  t.end()
})

t.test('cgroup version 2: the tightest quota on the way to the root', t => {
  const system = {
    '/proc/self/cgroup': '0::/kubepods/pod1\n',
    '/sys/fs/cgroup/kubepods/pod1/cpu.max': '250000 100000\n',
    '/sys/fs/cgroup/kubepods/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/cpu.max': 'max 100000\n',
  }
  t.equal(cgroupProcessors(files(system)), 1.5)
  t.end()
})

t.test('cgroup version 2 in a namespace of its own', t => {
  t.equal(cgroupProcessors(files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000' })), 0.5)
  t.end()
})

t.test('cgroup version 1', t => {
  const system = {
    '/proc/self/cgroup': '4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '300000\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  }
  t.equal(cgroupProcessors(files(system)), 3)
  t.equal(cgroupProcessors(files({ ...system, '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n' })), undefined)
  t.end()
})

t.test('no cgroups, no quota', t => {
  t.equal(cgroupProcessors(files({})), undefined)
  t.end()
})
