/** JSON as we write it: JSON has no infinity, and JSON.stringify would turn a Hausdorff distance of one into null. */

/** Infinities are written as "inf" and "-inf"; everything else, NaN as null included, as JSON.stringify does. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_key, field: unknown) => textOfInfinity(field), indent)
}

/** A copy that JSON.stringify writes like `toJson`: for what others will print. */
export function jsonReady<T extends object>(value: T): T {
  return JSON.parse(toJson(value)) as T
}

function textOfInfinity(value: unknown): unknown {
  if (value === Infinity) return 'inf'
  return value === -Infinity ? '-inf' : value
}
