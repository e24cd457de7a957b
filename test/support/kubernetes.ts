/** A Kubernetes Job against the schema that Kubernetes publishes, as far as it can be had offline. */

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { projectRoot } from './shared.ts'

interface Validate {
  (value: unknown): boolean
  readonly errors?: readonly { readonly instancePath: string; readonly params: unknown }[] | null
}

/**
 * What is wrong with a Job of batch/v1: what the schema says, and fields that it does not know. The published schema lets those
 * pass and Kubernetes drops them, so a misspelt one would do nothing; the validator never looks at them, which shows.
 */
export async function problemsOfJob(job: object): Promise<string[]> {
  // The package exports classes that copy what they are given; their validators are files beside them.
  const file = join(projectRoot, 'node_modules/kubernetes-models/_schemas/IoK8sApiBatchV1Job.mjs')
  const { validate } = (await import(pathToFileURL(file).href)) as { readonly validate: Validate }
  const [there, looked] = [new Set<string>(), new Set<string>()]
  const isValid = validate(watched(job, '', there, looked))
  const errors = isValid ? [] : (validate.errors ?? [])
  return [
    ...errors.map(({ instancePath, params }) => `${instancePath}: ${JSON.stringify(params)}`),
    ...[...there].filter(path => !looked.has(path)).map(path => `${path}: no such field`),
  ]
}

/** A copy that notes which fields it has and which of them somebody reads. */
function watched(value: unknown, path: string, there: Set<string>, looked: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, i) => watched(item, `${path}/${i}`, there, looked))
  const copy = Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      there.add(`${path}/${name}`)
      return [name, watched(field, `${path}/${name}`, there, looked)]
    }),
  )
  return new Proxy(copy, {
    get(target, name) {
      looked.add(`${path}/${String(name)}`)
      return target[name as string]
    },
  })
}
