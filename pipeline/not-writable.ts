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
  ENAMETOOLONG: 'the name is too long for the file system',
}

/** Why, in words, for what Node threw. */
export function refusalOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return reasons[code ?? ''] ?? message
}

/** ERR_OUTPUT for what Node threw. */
export function notWritable(path: string, error: unknown): PipelineError {
  return new PipelineError(
    'ERR_OUTPUT',
    `${path}: cannot be written: ${refusalOf(error)}; check the folder's permissions and the space left, or choose another "output"`,
    { path },
    { cause: error },
  )
}
