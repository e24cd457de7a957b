/** How much memory this process may take: the machine's, or less where a control group says so. */

import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'

/** Three quarters of what the control groups allow or the machine has: the rest is for the process itself and the page cache. */
export function availableBytes(): number {
  return Math.floor(Math.min(totalmem(), cgroupLimitBytes()) * 0.75)
}

/** Where the two versions of control groups keep a group's limits: the folder of groups, and the files in a group's own. */
const hierarchies = [
  { version: 2, folder: 'sys/fs/cgroup', files: ['memory.max', 'memory.high'] },
  { version: 2, folder: 'sys/fs/cgroup/unified', files: ['memory.max', 'memory.high'] },
  { version: 1, folder: 'sys/fs/cgroup/memory', files: ['memory.limit_in_bytes'] },
] as const

/**
 * The least limit of the process's control group and the groups around it, in bytes; Infinity where there is none. A container
 * often sees its own group as the root of all. `root` is for tests.
 */
export function cgroupLimitBytes(root = '/'): number {
  const groups = read(join(root, 'proc/self/cgroup'))
    .split('\n')
    .map(line => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter(match => match !== null)
    .map(([, controllers, path]) => ({ controllers: controllers!.split(','), path: path! }))
  let least = Infinity
  for (const { version, folder, files } of hierarchies) {
    const own = groups.find(({ controllers }) => controllers.includes(version === 2 ? '' : 'memory'))
    for (const group of ancestors(own?.path ?? '/')) {
      for (const file of files) least = Math.min(least, limitIn(join(root, folder, group, file)))
    }
  }
  return least
}

/** The group and those around it, the root last. */
function ancestors(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [path, ...ancestors(parent)]
}

/** `max`, no such file, or version 1's largest number of pages: no limit. */
function limitIn(path: string): number {
  const value = Number(read(path).trim() || 'max')
  return Number.isFinite(value) && value > 0 && value < 2 ** 62 ? value : Infinity
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
