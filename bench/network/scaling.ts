/** What a step costs against voxels and threads, in turns: linear in the one, falling with the other. */

import type { Bench, Comparison } from '../trial.ts'
import { networkTrial } from './network-trial.ts'
import { nameOf, publishedStep, type Work } from './work.ts'

const most = publishedStep.threads
const cubes = [64, 96, 128, 160].map((extent): Work => ({ ...publishedStep, shape: [extent, extent, extent] }))
const threads = [1, 2].filter(count => count <= most).map((count): Work => ({ ...publishedStep, threads: count }))

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
          name: `${nameOf(publishedStep)}/1-to-2-threads`,
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
