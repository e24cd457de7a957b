/** The engine as the program sees it: a thread that owns the tensors, and calls to it. */

import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { PipelineError, messageOf } from '../pipeline/errors.ts'
import type { Engine, EngineInfo } from '../pipeline/engine.ts'
import { setTensorflowEnvironment } from './backends/tensorflow-environment.ts'
import { unpackError, type CallName, type Calls, type Request, type Response } from './messages.ts'
import type { EngineOptions, EngineReport } from './options.ts'
import { resolveThreads } from './threads.ts'

export type { EngineOptions, EngineReport } from './options.ts'
export { resolveThreads } from './threads.ts'

/** An engine that also tells what it needed. */
export interface EngineWithReport extends Engine {
  report(): Promise<EngineReport>
  /** Whether the GPU gives so many bytes now; true where none computes. */
  canHold(deviceBytes: number): Promise<boolean>
}

/**
 * Starts the thread, its backend and the initial weights. The caller owns the engine and must `close` it, or the process
 * does not end. Rejects with ERR_DEFINITION for a network that cannot be and ERR_ENGINE for a backend that is not there.
 * Without a loss and an optimizer the engine only infers: it holds no optimiser's state and passes over one that it loads.
 * Should the thread die, everything in flight and every later call rejects with ERR_ENGINE.
 */
export async function openEngine(options: EngineOptions): Promise<EngineWithReport> {
  if (options.backend === 'tensorflow') setTensorflowEnvironment(resolveThreads(options.threads))
  // What the program was started with (--eval, a test runner's loaders) is not meant for this thread.
  const thread = new Worker(workerFile(), { workerData: options, name: 'engine', execArgv: [] })
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let nextId = 0
  let gone: string | undefined // why no call can be served any more

  const end = (why: string): void => {
    gone ??= why
    for (const { reject } of waiting.values()) reject(unavailable(gone))
    waiting.clear()
  }
  const exited = new Promise<unknown>(resolve => thread.once('exit', resolve))
  thread.on('exit', code => end(`the engine's thread ended with code ${code}`))
  const info = await new Promise<EngineInfo>((resolve, reject) => {
    thread.on('error', error => {
      end(`the engine's thread failed: ${messageOf(error)}`)
      reject(unavailable(gone!))
    })
    thread.once('exit', () => reject(unavailable(gone!)))
    thread.on('message', (response: Response) => {
      if (response.kind === 'ready') return resolve(response.info)
      if (response.kind === 'refused') return reject(unpackError(response.error))
      const call = waiting.get(response.id)
      waiting.delete(response.id)
      if (response.kind === 'done') call?.resolve(response.value)
      else call?.reject(unpackError(response.error))
    })
  }).catch(async (error: unknown) => {
    await exited // a thread that refused has nothing left to do and ends by itself
    throw error
  })

  const post = (call: Request['call'], args: readonly unknown[], id: number): void => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    thread.postMessage({ id, call, args } satisfies Request)
  }
  const request = <Name extends CallName>(call: Name, ...args: Parameters<Calls[Name]>): ReturnType<Calls[Name]> =>
    new Promise<unknown>((resolve, reject) => {
      if (gone !== undefined) return reject(unavailable(gone))
      const id = nextId++
      waiting.set(id, { resolve, reject })
      post(call, args, id)
    }) as ReturnType<Calls[Name]>

  return {
    info,
    step: ({ image, label, count, shape, cases }) =>
      request('step', { image: shared(image), label: shared(label), count, shape, cases }),
    infer: (windows, count, shape, to) => request('infer', shared(windows), count, shape, to),
    save: saveOptions => request('save', saveOptions),
    load: tensors => request('load', tensors),
    setLearningRate: learningRate => request('setLearningRate', learningRate),
    need: work => request('need', work),
    canHold: deviceBytes => request('canHold', deviceBytes),
    report: () => request('report'),
    async close() {
      if (gone === undefined) {
        post('close', [], nextId++) // calls before it are still served
        gone = 'the engine is closed'
      }
      await exited
    },
  }
}

/** The same values in shared memory: what already lies there goes as it is, the rest is copied once. */
function shared<T extends Float32Array | Uint8Array>(array: T): T {
  if (array.buffer instanceof SharedArrayBuffer) return array
  const buffer = new SharedArrayBuffer(array.byteLength)
  const copy = array instanceof Float32Array ? new Float32Array(buffer) : new Uint8Array(buffer)
  copy.set(array)
  return copy as T
}

/** Beside this file, with its ending: .js as published, .ts where Node strips the types itself. */
function workerFile(): string {
  const own = fileURLToPath(import.meta.url)
  return fileURLToPath(new URL(`./worker${extname(own)}`, import.meta.url))
}

function unavailable(why: string): PipelineError {
  return new PipelineError('ERR_ENGINE', `${why}; the run cannot go on`, { why })
}
