/** Lines for people, none wider than 100 columns as far as paths allow. */

const width = 100

/** Columns as wide as they need, numbers of the named columns to the right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  return rows.flatMap(row => {
    const cells = row.map((cell, column) =>
      right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    )
    const line = cells.join('  ').trimEnd()
    // Where it begins, its continuation begins too.
    return wrapped(line, ' '.repeat(Math.min(40, cells.slice(0, -1).join('  ').length + 2)))
  })
}

/** Cut at spaces; what has none stays whole. */
export function wrapped(text: string, indent = '  '): string[] {
  const lines: string[] = []
  let rest = text
  while (rest.length > width) {
    const from = lines.length === 0 ? (/^\s*(- )?/.exec(rest)?.[0].length ?? 0) : indent.length
    const at = rest.lastIndexOf(' ', width)
    const cut = at > from ? at : rest.indexOf(' ', width)
    if (cut < 0) break
    lines.push(rest.slice(0, cut))
    rest = indent + rest.slice(cut + 1)
  }
  return [...lines, rest]
}
