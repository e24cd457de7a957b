/** Where the user's TensorFlow package lies. Loads nothing of it. */

import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'

/** The first that is there is taken. */
export const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const

export interface TensorflowPackage {
  readonly name: (typeof packages)[number]
  readonly version: string
  /** Of its package.json. */
  readonly folder: string
  /** Resolves as the package itself does. */
  readonly require: NodeJS.Require
}

/** Where a package may lie: the folder that a variable names and no other, else beside ctflow, else beside the user's files. */
export function tensorflowPlaces(): string[] {
  const named = process.env['CTFLOW_TFJS_NODE']
  return named ? [resolve(named)] : [import.meta.dirname, process.cwd()]
}

/** The package that would be taken; undefined where none is installed. */
export function findTensorflowPackage(): TensorflowPackage | undefined {
  for (const place of tensorflowPlaces()) {
    const from = createRequire(join(place, 'any.js'))
    for (const name of packages) {
      const file = resolved(from, `${name}/package.json`)
      if (file === undefined) continue
      const { version } = from(file) as { version: string }
      return { name, version, folder: dirname(file), require: createRequire(file) }
    }
  }
  return undefined
}

/** A module's file, or `undefined` where there is none. */
export function resolved(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}
