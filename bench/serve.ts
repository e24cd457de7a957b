/** The side of a contender that does the work: see network/contender.ts for the protocol. */

import { createInterface } from 'node:readline'
import { messageOf } from '../pipeline/errors.ts'
import type { Repetition, Report } from './network/contender.ts'

export interface Server<Work> {
  prepare(work: Work): Promise<void>
  repeat(): Promise<Repetition>
  report(): Promise<Report> | Report
}

/** Answers until its input ends. */
export async function serve<Work>(server: Server<Work>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(server, line))}\n`)
  }
}

async function answer<Work>(server: Server<Work>, line: string): Promise<object> {
  try {
    const { do: what, ...rest } = JSON.parse(line) as { do: string }
    switch (what) {
      case 'prepare':
        await server.prepare(rest as Work)
        return {}
      case 'repeat':
        return await server.repeat()
      case 'report':
        return await server.report()
      default:
        throw new Error(`expected prepare, repeat or report, found ${what}`)
    }
  } catch (error) {
    return { error: messageOf(error) }
  }
}
