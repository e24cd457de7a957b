/** What the fields of "engine" must agree on. */

import type { Definition } from './definition.ts'
import type { Problem } from './problems.ts'

/** Which backends compute in a precision; `auto` chooses among them. */
const precisions: Readonly<Record<string, readonly string[]>> = {
  bfloat16: ['auto', 'native'],
  'bfloat16-emulated': ['auto', 'native'],
  float16: ['auto', 'webgpu'],
  'float16-matrix': ['auto', 'webgpu'],
}

/** Combinations that no machine could serve. */
export function engineProblems({ engine }: Pick<Definition, 'engine'>): Problem[] {
  const { backend, precision } = engine
  const able = precisions[precision]
  if (able && !able.includes(backend))
    return [
      {
        path: '/engine/precision',
        message: `the ${backend} backend does not compute in "${precision}"; use "float32", or "backend": "${able.at(-1)}"`,
      },
    ]
  const onGpu = ['auto', 'webgpu'].includes(backend) && !able?.includes('native')
  const why = onGpu ? '' : able ? `"${precision}" is computed by the native backend` : `"backend" is "${backend}"`
  return (['adapter', 'gpuMemory'] as const)
    .filter(name => engine[name] !== undefined && !onGpu)
    .map(name => ({ path: `/engine/${name}`, message: `it says something of a GPU, and ${why}; leave it out` }))
}
