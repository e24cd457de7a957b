/** Outlines of masks in pictures, followed along the borders of their pixels. */

/** A pixel on either side of a border: inside the mask, and outside of it (-1 beyond the picture). */
export interface BorderStep {
  readonly inside: number
  readonly outside: number
}

/** Right, down, left, up; in a picture whose rows run down. */
const steps = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
] as const

/**
 * Closed borders around what is not 0 in `mask` (v, u), each in the order in which a walker with the mask on his right passes
 * its pixels: so that a dash is as long on a slope as on a straight line.
 */
export function contours(mask: Uint8Array, width: number, height: number): BorderStep[][] {
  const at = (u: number, v: number): number => (u >= 0 && v >= 0 && u < width && v < height ? v * width + u : -1)
  const isSet = (pixel: number): boolean => pixel >= 0 && mask[pixel] !== 0
  // The pixels to the right and left of a step from corner (u, v).
  const beside = (u: number, v: number, direction: number): [right: number, left: number] => {
    if (direction === 0) return [at(u, v), at(u, v - 1)]
    if (direction === 1) return [at(u - 1, v), at(u, v)]
    if (direction === 2) return [at(u - 1, v - 1), at(u - 1, v)]
    return [at(u, v - 1), at(u - 1, v - 1)]
  }
  const isBorder = (u: number, v: number, direction: number): boolean => {
    const [right, left] = beside(u, v, direction)
    return isSet(right) && !isSet(left)
  }
  const seen = new Uint8Array((width + 1) * (height + 1))
  const found: BorderStep[][] = []
  for (let v = 0; v <= height; v++) {
    for (let u = 0; u < width; u++) {
      // Every border has a step to the right: above its topmost pixels, or below those of a hole.
      if (!isBorder(u, v, 0) || seen[v * (width + 1) + u]! & 1) continue
      const border: BorderStep[] = []
      let [x, y, direction] = [u, v, 0]
      do {
        seen[y * (width + 1) + x]! |= 1 << direction
        const [inside, outside] = beside(x, y, direction)
        border.push({ inside, outside })
        x += steps[direction]![0]
        y += steps[direction]![1]
        // Where two pixels touch by a corner, they are kept apart: turn right first.
        direction = [1, 0, 3].map(turn => (direction + turn) % 4).find(next => isBorder(x, y, next))!
      } while (x !== u || y !== v || direction !== 0)
      found.push(border)
    }
  }
  return found
}
