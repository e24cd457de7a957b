/** "Did you mean", for names that nobody has vouched for. */

import { nearest } from '../../pipeline/problems.ts'

/** Names longer than this, and more of them, are no slips of the pen, and comparing them takes time. */
const longest = 80
const most = 500

/** The candidate that was probably meant, if any is near. */
export function nearName(name: string, candidates: readonly string[]): string | undefined {
  if (name.length > longest || candidates.length > most) return undefined
  return nearest(
    name,
    candidates.filter(candidate => candidate.length <= longest),
  )
}
