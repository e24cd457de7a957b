/** Where figures were made: they mean nothing without it. */

import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { resolveThreads } from '../engine/threads.ts'
import { loadAddon } from '../native/addon.ts'
import { version } from '../pipeline/version.ts'

export interface Machine {
  readonly cpu: string
  readonly processors: number
  /** That trials use unless they say otherwise. */
  readonly threads: number
  readonly isa: string
  /** What else has computed: a GPU with its driver. */
  readonly device?: string
  readonly memoryBytes: number
  readonly platform: string
  readonly node: string
  readonly ctflow: string
  /** With `+` behind it where the tree had changes of its own; `unknown` outside a checkout. */
  readonly commit: string
}

export function machine(): Machine {
  const processors = cpus()
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    processors: processors.length,
    threads: resolveThreads('auto'),
    isa: loadAddon().isas().at(-1)!,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    ctflow: version(),
    commit: commit(),
  }
}

/** The folder with package.json, above dist/bench or bench. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/** Of the checkout; a bundle's package.json remembers it. */
export function commit(): string {
  const { gitHead } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as { gitHead?: string }
  if (gitHead !== undefined) return gitHead
  const hash = git('rev-parse', '--short=10', 'HEAD')
  // The page of results itself changes whenever it is made.
  const changed = git('status', '--porcelain', '--', ':!bench/RESULTS.md')
  return hash === undefined ? 'unknown' : `${hash}${changed === '' ? '' : '+'}`
}

/** Seconds since 1970; an Error outside a checkout. */
export function commitTime(): number {
  const seconds = git('log', '-1', '--format=%ct')
  if (seconds === undefined) throw new Error(`expected a git checkout at ${projectRoot()}, found none`)
  return Number(seconds)
}

function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: projectRoot(), encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}
