/** The texts of a bundle that lie beside this file with gaps to fill in: the launchers and README.txt. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../../bench/machine.ts'

/** With a value for every `@NAME@`. */
export function filled(file: string, values: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(projectRoot(), 'scripts', 'bundle', file), 'utf8')
  return text.replaceAll(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`${file}: expected a value for @${name}@, found none`)
    return value
  })
}
