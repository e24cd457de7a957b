/** How often a cache that knows the order of what is to come finds its cases, told without running. */

/** More cases than this are thought of as so many of mean size. */
const most = 400

/**
 * Share of the cases of each pass but the first that are there when they are wanted. `orders` are the passes over the
 * cases, by index; the cache has room for `share` of them, drops what is wanted last, and takes in nothing that is
 * wanted later than all it has.
 */
export function hitRate(orders: readonly (readonly number[])[], share: number): number {
  if (share >= 1) return 1
  const passes = orders.map(order => order.filter(index => index < most))
  const room = Math.floor(share * passes[0]!.length)
  const kept = new Set<number>()
  let hits = 0
  let asked = 0
  passes.forEach((pass, p) => {
    // How far away each case is from here on: in this pass, else in the next.
    const here = new Map(pass.map((index, at) => [index, at]))
    const later = new Map((passes[p + 1] ?? []).map((index, at) => [index, at]))
    pass.forEach((index, at) => {
      const nextUse = (other: number): number =>
        here.get(other)! > at ? here.get(other)! - at : pass.length - at + (later.get(other) ?? Infinity)
      if (p > 0) asked++
      if (kept.has(index)) {
        if (p > 0) hits++
      } else kept.add(index)
      if (kept.size <= room) return
      kept.delete([...kept].reduce((last, other) => (nextUse(other) > nextUse(last) ? other : last)))
    })
  })
  return asked === 0 ? 0 : hits / asked
}
