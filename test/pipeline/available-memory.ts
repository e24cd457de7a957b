import { mkdirSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { availableBytes, cgroupLimitBytes } from '../../pipeline/available-memory.ts'

/** A root folder with these files. */
function rootOf(dir: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return dir
}

const cases: readonly (readonly [string, Readonly<Record<string, string>>, number])[] = [
  ['no control groups', {}, Infinity],
  ['version 2 without a limit', { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': 'max\n' }, Infinity],
  [
    "version 2, a container's root",
    { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': '1073741824\n' },
    2 ** 30,
  ],
  [
    'version 2, a group around the own one says less',
    {
      'proc/self/cgroup': '0::/user.slice/job.scope\n',
      'sys/fs/cgroup/user.slice/job.scope/memory.max': '4294967296\n',
      'sys/fs/cgroup/user.slice/memory.max': '2147483648\n',
    },
    2 ** 31,
  ],
  [
    'version 2, throttled before it is killed',
    {
      'proc/self/cgroup': '0::/job\n',
      'sys/fs/cgroup/job/memory.max': '4294967296\n',
      'sys/fs/cgroup/job/memory.high': '3221225472\n',
    },
    3 * 2 ** 30,
  ],
  [
    'version 1, beside an empty version 2',
    {
      'proc/self/cgroup': '9:cpu,memory:/docker/abc\n0::/\n',
      'sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': '536870912\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    },
    2 ** 29,
  ],
]

t.test("the least limit of the process's control groups counts", async t => {
  for (const [name, files, expected] of cases) {
    t.equal(cgroupLimitBytes(rootOf(t.testdir({ [name]: {} }), files)), expected, name)
  }
  const here = availableBytes()
  t.ok(here > 0 && here <= totalmem())
})
