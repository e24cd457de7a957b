/** A file system's refusal, in words. */

import { PipelineError } from './errors.ts'

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'a file of that name is in the way',
  EISDIR: 'a folder of that name is in the way',
  EDQUOT: 'the disk quota is used up',
}

/** ERR_OUTPUT for what Node threw. */
export function notWritable(path: string, error: unknown): PipelineError {
  const { code, message } = error as NodeJS.ErrnoException
  return new PipelineError(
    'ERR_OUTPUT',
    `${path}: cannot be written: ${reasons[code ?? ''] ?? message}; choose another "output" or mend its permissions`,
    { path },
    { cause: error },
  )
}
