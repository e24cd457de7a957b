/** What a step costs against voxels and threads, in turns: linear in the one, falling with the other. */

import { resolveThreads } from '../../engine/threads.ts'
import type { Bench, Comparison } from '../trial.ts'
import { networkTrial } from './network-trial.ts'
import { nameOf, publishedPatch, type Work } from './work.ts'

const most = resolveThreads('auto')
const base: Work = {
  task: 'train-step',
  initFilters: 8,
  shape: publishedPatch,
  batch: 1,
  precision: 'float32',
  threads: most,
}
const cubes = [64, 96, 128, 160].map((extent): Work => ({ ...base, shape: [extent, extent, extent] }))
const threads = [1, 2].filter(count => count <= most).map((count): Work => ({ ...base, threads: count }))

const scalingName = (work: Work): string =>
  `${nameOf(work)}/${work.threads === 1 ? '1-thread' : `${work.threads}-threads`}`
const voxels = ({ shape }: Work): number => shape[0] * shape[1] * shape[2]

const perVoxel = cubes.slice(1).map((work): Comparison => {
  const smallest = cubes[0]!
  return {
    name: `cost-of-a-voxel/${work.shape.join('x')}-to-${smallest.shape.join('x')}`,
    unit: 'times',
    of: [scalingName(work)],
    over: scalingName(smallest),
    scale: voxels(smallest) / voxels(work),
  }
})

const perThread: Comparison[] =
  threads.length < 2
    ? []
    : [
        {
          name: `${nameOf(base)}/1-to-2-threads`,
          unit: 'times as fast',
          of: [scalingName(threads[0]!)],
          over: scalingName(threads[1]!),
        },
      ]

export const bench: Bench = {
  trials: [...cubes, ...threads].map(work => networkTrial(work, 5, scalingName(work))),
  comparisons: [...perVoxel, ...perThread],
  interleaved: true,
}
