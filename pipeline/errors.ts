/**
 * The error that users see. Callers match on `code`, never on the class: own classes do not survive a worker thread or a
 * second copy of the package.
 */

/** What kind of thing went wrong; the exit code and the cure follow from it. */
export type ErrorCode =
  /** The definition is refused: syntax, schema, order of stages, values that contradict each other. Nothing has run. */
  | 'ERR_DEFINITION'
  /** The list of cases cannot be read, is empty, or names files that are not there. */
  | 'ERR_DATASET'
  /** A file cannot be read or is damaged: truncated, wrong magic, bad checksum. */
  | 'ERR_FILE'
  /** A volume's header or voxels make no sense for the work asked: dimensions, spacing, NaN. */
  | 'ERR_VOLUME'
  /** Two volumes that must share a grid do not. */
  | 'ERR_GEOMETRY'
  /** A label holds a value that the definition does not know. */
  | 'ERR_LABEL'
  /** Weights do not fit the network, or a checkpoint cannot be read. */
  | 'ERR_WEIGHTS'
  /** The engine cannot start or a step failed: backend missing, out of memory, loss not finite. */
  | 'ERR_ENGINE'
  /** The output folder cannot be written. */
  | 'ERR_OUTPUT'
  /** Another run holds the output folder. */
  | 'ERR_LOCKED'
  /** A signal ended the run. */
  | 'ERR_INTERRUPTED'

export type Facts = Readonly<Record<string, unknown>>

/**
 * An error with its facts as data. `message` says where, what was expected, what was found and, where the reader can
 * act, what to do; it is complete without the stack.
 */
export class PipelineError extends Error {
  readonly code: ErrorCode
  readonly facts: Facts

  constructor(code: ErrorCode, message: string, facts: Facts = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'PipelineError'
    this.code = code
    this.facts = facts
  }
}

/** The code of whatever was thrown, also across threads, where only `cause` survives; `undefined` means a bug. */
export function codeOf(error: unknown): ErrorCode | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  if (typeof code === 'string' && code.startsWith('ERR_') && error instanceof PipelineError) return code as ErrorCode
  if (typeof cause === 'object' && cause !== null && 'pipelineCode' in cause) return cause.pipelineCode as ErrorCode
  return undefined
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
