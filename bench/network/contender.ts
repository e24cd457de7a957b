/**
 * A program that does the work in a process of its own, one repetition whenever it is told to: so that several can take
 * turns, and each has a peak of memory of its own.
 *
 * One JSON object per line. We say {"do": "prepare", ...}, {"do": "repeat"} or {"do": "report"}; it answers with its
 * facts, or {"error": "..."}. It ends when its input does. What it writes that is no JSON object is passed over.
 */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Repetition {
  readonly seconds: number
  /** What was computed: the loss of a step, or some logits of a window. */
  readonly outcome: readonly number[]
}

export interface Report {
  /** Of the whole process so far. */
  readonly peakBytes: number
  /** Versions and settings. */
  readonly facts: Readonly<Record<string, string | number>>
}

export interface Contender {
  readonly pid: number | undefined
  prepare(work: object): Promise<void>
  repeat(): Promise<Repetition>
  report(): Promise<Report>
  /** Ends it, and waits until it has. */
  close(): Promise<void>
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** How long one answer may take. */
  readonly timeoutSeconds: number
}

export function startContender({ file, args, environment, timeoutSeconds }: Command): Contender {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...environment } })
  let complaints = '' // the end of what it wrote to stderr
  let waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined
  let gone: string | undefined
  const end = (why: string): void => {
    gone ??= complaints === '' ? why : `${why}: ${complaints.trim()}`
    waiting?.reject(new Error(gone))
    waiting = undefined
  }
  child.stderr.on('data', (text: Buffer) => (complaints = (complaints + text.toString()).slice(-2000)))
  child.stdin.on('error', () => {}) // it has ended: `close` says so
  child.on('error', error => end(`${file} does not start: ${error.message}`))
  const exited = new Promise<void>(resolve => {
    child.on('error', () => resolve())
    child.on('close', (code, signal) => {
      end(`${file} ended with ${signal ?? code}`)
      resolve()
    })
  })
  createInterface({ input: child.stdout }).on('line', line => {
    const answer = objectIn(line)
    if (answer === undefined || waiting === undefined) return
    const { resolve, reject } = waiting
    waiting = undefined
    if (typeof answer['error'] === 'string') reject(new Error(answer['error']))
    else resolve(answer)
  })

  const ask = async <Answer>(request: object): Promise<Answer> => {
    if (gone !== undefined) throw new Error(gone)
    if (waiting) throw new Error('a contender does one thing at a time')
    const timer = setTimeout(() => {
      end(`${file} gave no answer for ${timeoutSeconds} s`)
      child.kill('SIGKILL')
    }, timeoutSeconds * 1000)
    try {
      return (await new Promise<unknown>((resolve, reject) => {
        waiting = { resolve, reject }
        child.stdin.write(`${JSON.stringify(request)}\n`)
      })) as Answer
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    pid: child.pid,
    async prepare(work) {
      await ask({ do: 'prepare', ...work })
    },
    repeat: () => ask({ do: 'repeat' }),
    report: () => ask({ do: 'report' }),
    async close() {
      child.stdin.end()
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(timer)
    },
  }
}

function objectIn(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined
  }
}
