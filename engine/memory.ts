/** How much memory this process can still have. Linux lends more than there is, and kills who uses it. */

import { readFileSync } from 'node:fs'

/**
 * Bytes that can be had now, without killing anyone: what the system has left, or less where the container's limit says so.
 * Infinity where the system does not tell (other than Linux): there an allocation that cannot be is refused anyway.
 */
export function freeBytes(): number {
  const limit = process.constrainedMemory() || Infinity // 0 or nothing where there is none
  return Math.min(systemFreeBytes(meminfo()), limit - process.memoryUsage.rss())
}

/** From the text of /proc/meminfo: available memory, caches that can be dropped included, and free swap. */
export function systemFreeBytes(text: string): number {
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? NaN)
  const available = kilobytes('MemAvailable')
  return Number.isNaN(available) ? Infinity : 1024 * (available + (kilobytes('SwapFree') || 0))
}

function meminfo(): string {
  try {
    return readFileSync('/proc/meminfo', 'utf8')
  } catch {
    return '' // not Linux
  }
}
