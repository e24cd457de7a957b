/**
 * Which adapters there are, asked in a process of its own: drivers print warnings that nobody can silence, and one that is
 * broken takes its process along.
 */

import { execFile } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lacksForDawn, type Survey } from './adapters.ts'

/** A driver that wakes a GPU from sleep takes a second or two. */
export const patienceMs = 20_000

let asked: Promise<Survey> | undefined

/** Once in a thread. Prints nothing and never rejects. Where Dawn cannot be loaded, no process is started. */
export function surveyAdapters(): Promise<Survey> {
  asked ??= survey()
  return asked
}

async function survey(): Promise<Survey> {
  const trouble = lacksForDawn()
  if (trouble !== undefined) return { adapters: [], trouble }
  // What this program was started with is not meant for that one.
  const { NODE_OPTIONS: _, ...env } = process.env
  return new Promise(resolve => {
    const options = { env, timeout: patienceMs, killSignal: 'SIGKILL', encoding: 'utf8' } as const
    execFile(process.execPath, [listFile()], options, (error, stdout) => {
      const told = parsed(stdout)
      // A driver that breaks as its process ends would do so at the end of a run.
      if (told && !error) return resolve(told)
      const { killed, signal, code } = error ?? { killed: false, signal: undefined, code: 0 }
      const how = killed ? `did not answer within ${patienceMs / 1000} s` : `broke (${signal ?? `exit code ${code}`})`
      resolve({ adapters: [], trouble: `asking the drivers ${how}` })
    })
  })
}

/** Its line among whatever drivers and their layers print. */
function parsed(text: string): Survey | undefined {
  try {
    return JSON.parse(text.split('\n').find(line => line.startsWith('{"adapters":')) ?? '') as Survey
  } catch {
    return undefined
  }
}

/** Beside this file, with its ending: .js as published, .ts where Node strips the types itself. */
function listFile(): string {
  const own = fileURLToPath(import.meta.url)
  return fileURLToPath(new URL(`./list${extname(own)}`, import.meta.url))
}
