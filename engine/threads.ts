/** How many threads the engine may use. */

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * What the definition asks for, else the container's processor quota (rounded up), else the processors that this process
 * may run on. At least 1. Node's own count knows the affinity mask but not a quota.
 */
export function resolveThreads(requested: number | 'auto' = 'auto'): number {
  if (requested !== 'auto') return requested
  const processors = availableParallelism()
  const quota = cgroupProcessors(read)
  return quota === undefined ? processors : Math.max(1, Math.min(processors, Math.ceil(quota)))
}

/**
 * Processors' worth of time that the cgroup (version 2, then 1) grants; `undefined` without a quota. `readText` gives a
 * file's text, or `undefined` where there is none.
 */
export function cgroupProcessors(readText: (path: string) => string | undefined): number | undefined {
  const memberships = (readText('/proc/self/cgroup') ?? '').split('\n').map(line => line.split(':'))
  const unified = memberships.find(([id]) => id === '0')?.[2] ?? '/'
  const quotas = ancestors(unified).map(folder => {
    const [quota, period] = (readText(`/sys/fs/cgroup${folder}cpu.max`) ?? '').trim().split(' ')
    return ratio(quota, period) // "max 100000" is no quota
  })
  const legacy = memberships.find(([, controllers]) => controllers?.split(',').includes('cpu'))?.[2] ?? '/'
  for (const folder of ancestors(legacy)) {
    const base = `/sys/fs/cgroup/cpu${folder}`
    quotas.push(ratio(readText(`${base}cpu.cfs_quota_us`), readText(`${base}cpu.cfs_period_us`))) // -1 is no quota
  }
  const known = quotas.filter(quota => quota !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}

/** "/a/b" gives "/a/b/", "/a/" and "/": a quota binds everything below it. */
function ancestors(path: string): string[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '..')
  return [...parts.keys(), parts.length].map(
    n =>
      `/${parts
        .slice(0, n)
        .map(part => `${part}/`)
        .join('')}`,
  )
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const value = Number(quota?.trim() || NaN) / Number(period?.trim() || NaN)
  return value > 0 && Number.isFinite(value) ? value : undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // not Linux, or no such controller
  }
}
