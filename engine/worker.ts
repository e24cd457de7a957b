/** The engine's thread: owns the session and serves its calls in the order they came. */

import { parentPort, workerData } from 'node:worker_threads'
import { packError, type Request, type Response } from './messages.ts'
import type { EngineOptions } from './options.ts'
import { openSession, type Session } from './session.ts'

const port = parentPort
if (!port) throw new Error('engine/worker is a worker thread; use openEngine')
const answer = (response: Response): void => port.postMessage(response)

try {
  const session = await openSession(workerData as EngineOptions)
  let last: Promise<void> = Promise.resolve()
  port.on('message', (request: Request) => {
    last = last.then(() => serve(session, request))
  })
  answer({ kind: 'ready', info: session.info })
} catch (error) {
  answer({ kind: 'refused', error: packError(error) })
}

async function serve(session: Session, { id, call, args }: Request): Promise<void> {
  try {
    if (call === 'close') {
      session.close()
      port!.close() // nothing else holds the thread
      return
    }
    const method = session[call] as (...args: readonly unknown[]) => Promise<unknown>
    answer({ kind: 'done', id, value: await method(...args) })
  } catch (error) {
    answer({ kind: 'failed', id, error: packError(error) })
  }
}
