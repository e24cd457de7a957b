/** What crosses between the program and the engine's thread, errors above all: their own properties do not by themselves. */

import { PipelineError, messageOf, type ErrorCode, type Facts } from '../pipeline/errors.ts'
import type { EngineInfo } from '../pipeline/engine.ts'
import type { Session } from './session.ts'

/** The calls that the thread serves, one after the other. */
export type Calls = Omit<Session, 'info' | 'close'>
export type CallName = keyof Calls

export interface Request {
  readonly id: number
  /** `close` ends the thread after it has answered. */
  readonly call: CallName | 'close'
  readonly args: readonly unknown[]
}

export type Response =
  | { readonly kind: 'ready'; readonly info: EngineInfo }
  | { readonly kind: 'refused'; readonly error: PackedError }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PackedError }

export interface PackedError {
  readonly message: string
  readonly stack?: string
  /** Absent for a bug. */
  readonly code?: ErrorCode
  readonly facts: Facts
}

export function packError(error: unknown): PackedError {
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  if (!(error instanceof PipelineError)) return { message: messageOf(error), facts: {}, ...stack }
  return { message: error.message, code: error.code, facts: cloneable(error.facts), ...stack }
}

/** The error as it was thrown: a PipelineError with code and facts, or a plain one for a bug. */
export function unpackError({ message, stack, code, facts }: PackedError): Error {
  const error = code === undefined ? new Error(message) : new PipelineError(code, message, facts)
  if (stack !== undefined) error.stack = stack
  return error
}

function cloneable(facts: Facts): Facts {
  try {
    return structuredClone(facts)
  } catch {
    return { note: 'the facts of this error could not cross threads' }
  }
}
