/** Amounts of memory: parsing and printing. */

import { availableBytes } from './available-memory.ts'

const units: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

const amount = '\\d+(\\.\\d+)?\\s*(B|[KMGT]B|[KMGT]iB)'

/** What `parseBytes` accepts, for JSON schemas. */
export const bytesPattern = `^(auto|${amount})$`

/** The same of memory that is not this process's. */
export const amountPattern = `^${amount}$`

/** Bytes of "4GiB", "1.5 GB" or a plain number; `auto` is what the machine offers. The text has passed the pattern. */
export function parseBytes(amount: string | number): number {
  if (typeof amount === 'number') return amount
  if (amount === 'auto') return availableBytes()
  const match = /^([\d.]+)\s*([KMGT]?i?B)$/.exec(amount)
  if (!match) throw new Error(`not an amount of memory: ${amount}`)
  return Math.floor(Number(match[1]) * units[match[2]!]!)
}

/** 1536 -> "1.5 KiB". */
export function formatBytes(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${names[unit]}`
}
