/** Finds the shared test data beside the project; tests that need them are skipped where they are not. */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's root: the nearest folder above that holds package.json. */
export const projectRoot = ((): string => {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
})()

/** A path below `../shared`; `undefined` where it does not exist. */
export function sharedPath(...parts: string[]): string | undefined {
  const path = join(projectRoot, '..', 'shared', ...parts)
  return existsSync(path) ? path : undefined
}
