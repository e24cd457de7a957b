/** The shell scripts of an MMAR: which values their `--set` would override. They are read as text and never run. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readTextFile, type Json } from './json.ts'
import { assignmentOf } from './variables.ts'

export interface Script {
  /** The file's name in commands/. */
  readonly name: string
  /** The configuration it names with -c, below the MMAR, where it names one. */
  readonly config?: string
  /** In the script's order. */
  readonly overrides: readonly (readonly [name: string, value: Json])[]
  /** What stands after --set and cannot be known without a shell. */
  readonly dynamic: readonly string[]
}

/** The scripts of the folder by name; none where there is no folder. A script that cannot be read is left out. */
export function readScripts(folder: string): Script[] {
  let names: string[]
  try {
    names = readdirSync(folder).filter(name => name.endsWith('.sh'))
  } catch {
    // No folder, or none that can be read: scripts are a convenience.
    return []
  }
  return names.toSorted().flatMap(name => {
    try {
      const text = readTextFile(join(folder, name), name)
      return text === undefined ? [] : [parseScript(name, text)]
    } catch {
      return []
    }
  })
}

/** Tolerant: comments and line continuations are known, everything else of a shell is text. */
export function parseScript(name: string, text: string): Script {
  const lines = text
    .split(/\r?\n/)
    .map(line => line.replace(/(^|\s)#.*$/, '$1'))
    .join('\n')
    .replace(/\\\s*\n/g, ' ')
    .split('\n')
  const shell = new Map<string, string>()
  const overrides: [string, Json][] = []
  const dynamic: string[] = []
  let config: string | undefined
  for (const line of lines) {
    const assigned = /^\s*(?:export\s+)?([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)\s*$/.exec(line)
    if (assigned) shell.set(assigned[1]!, unquoted(assigned[2]!))
    const words = wordsOf(line)
    const at = words.indexOf('-c')
    if (at >= 0 && words.includes('--set')) config = known(words[at + 1] ?? '', shell)
    for (const word of setWords(words)) {
      const value = known(word, shell)
      if (value === undefined) dynamic.push(word)
      else overrides.push(assignmentOf(value))
    }
  }
  return { name, overrides, dynamic, ...(config !== undefined && { config }) }
}

/** The words after --set, up to the next option. */
function setWords(words: readonly string[]): string[] {
  const from = words.indexOf('--set')
  if (from < 0) return []
  const rest = words.slice(from + 1)
  const end = rest.findIndex(word => /^(-|[;&|>]|<)/.test(word))
  return (end < 0 ? rest : rest.slice(0, end)).filter(word => /^[A-Za-z_]\w*=|\$/.test(word))
}

/** With the script's own variables filled in; `undefined` where the shell would have to say. */
function known(word: string, shell: ReadonlyMap<string, string>): string | undefined {
  const filled = word.replace(/\$\{?([A-Za-z_]\w*)\}?/g, (found, name: string) => shell.get(name) ?? found)
  return /[$`]/.test(filled) ? undefined : filled
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => unquoted(word))
}

function unquoted(word: string): string {
  return word.replace(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? '')
}
