/** What TensorFlow's library reads from the process's environment when it is loaded. Loads no TensorFlow.js. */

/**
 * To be called in the main thread before the engine's: a thread's own `process.env` is a copy that no library sees. What the
 * user has set stays. The first engine of a process settles it, since the library is loaded once and keeps its threads.
 */
export function setTensorflowEnvironment(threads: number): void {
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1' // warnings and errors, not which instructions it was built for
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(threads)
  process.env['TF_NUM_INTEROP_THREADS'] ??= '1' // operations come one after the other
}

/** Threads in effect; TensorFlow takes every processor where nobody said a number. */
export function tensorflowThreads(otherwise: number): number {
  const said = Number(process.env['TF_NUM_INTRAOP_THREADS'])
  return Number.isInteger(said) && said > 0 ? said : otherwise
}
