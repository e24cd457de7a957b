/** JSON that also keeps what JSON loses: -0, NaN and infinities, and bytes. Nothing else is lost of what a sample holds. */

/** What heads are made of. */
export type Json =
  null | boolean | number | string | Uint8Array | readonly Json[] | { readonly [name: string]: Json | undefined }

const numbers: Readonly<Record<string, number>> = { '-0': -0, NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity }

/** Canonical: equal values give equal text, whatever the order of their names. */
export function toText(value: Json): string {
  return JSON.stringify(marked(value))
}

export function fromText(text: string): Json {
  return JSON.parse(text, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    const { $number, $bytes } = value as Record<string, unknown>
    if (typeof $number === 'string') return numbers[$number]
    return typeof $bytes === 'string' ? new Uint8Array(Buffer.from($bytes, 'base64')) : value
  }) as Json
}

function marked(value: Json): unknown {
  if (typeof value === 'number') {
    if (Object.is(value, -0)) return { $number: '-0' }
    return Number.isFinite(value) ? value : { $number: String(value) }
  }
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(marked)
  const entries = Object.entries(value as { readonly [name: string]: Json | undefined })
    .filter(([, item]) => item !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, item]) => [name, marked(item!)] as const)
  if (entries.some(([name]) => name.startsWith('$'))) throw new Error('names that begin with $ are marks here')
  return Object.fromEntries(entries)
}
