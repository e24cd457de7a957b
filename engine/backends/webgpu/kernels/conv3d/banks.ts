/** Where rows lie in workgroup memory, whose banks serve four bytes each. */

const banks = 32

/**
 * The least pitch from `least` on for which as many threads as there are banks, `perRow` of them next to each other on each
 * row and `sharing` reading each number, read as many different banks; `least` itself where no pitch helps.
 */
export function conflictFree(least: number, perRow: number, sharing: number): number {
  const key = `${least} ${perRow} ${sharing}`
  const known = found.get(key)
  if (known !== undefined) return known
  const pitch = search(least, perRow, sharing)
  found.set(key, pitch)
  return pitch
}

/** Planning asks for the same few hundred again and again. */
const found = new Map<string, number>()

function search(least: number, perRow: number, sharing: number): number {
  const readers = Math.max(1, Math.floor(banks / sharing))
  for (let pitch = least; pitch < least + banks; pitch++) {
    const read = Array.from({ length: readers }, (_, i) => (Math.floor(i / perRow) * pitch + (i % perRow)) % banks)
    if (new Set(read).size === readers) return pitch
  }
  return least
}
