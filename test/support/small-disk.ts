/** Small file systems, for tests of full ones. */

import { readFileSync } from 'node:fs'

/** Why no small disk can be had here. */
export function noMount(): string | false {
  try {
    const isOurs = /^Cap(Eff):\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))
    const canMount = isOurs !== null && (BigInt(`0x${isOurs[2]}`) & (1n << 21n)) !== 0n
    return canMount ? false : 'no right to mount a small disk'
  } catch {
    return 'no right to mount a small disk'
  }
}
