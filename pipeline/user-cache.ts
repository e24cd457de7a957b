/** Where things are kept that can be made again: the user's cache folder. */

import { homedir } from 'node:os'
import { join } from 'node:path'

/** A folder of this program in the user's cache, by the XDG base directory rules. */
export function userCacheFolder(name: string): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'ctflow', name)
}
