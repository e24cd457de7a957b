/**
 * Our own stages as a contender: a program that network/contender.ts starts. With Node's --expose-gc a repetition does not
 * tell what it computed but how many bytes lived at most.
 */

import highland from 'highland'
import { materialise } from '../../imaging/volume.ts'
import { loadAddon } from '../../native/addon.ts'
import { dryContext } from '../../pipeline/dry-context.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Volume } from '../../pipeline/grid.ts'
import type { Upstream } from '../../pipeline/stage.ts'
import { peakRss } from '../../pipeline/summary.ts'
import { version } from '../../pipeline/version.ts'
import { clip } from '../../stages/clip.ts'
import { load } from '../../stages/load.ts'
import { resample } from '../../stages/resample.ts'
import type { Repetition } from '../network/contender.ts'
import { serve } from '../serve.ts'
import { peakLiveBytes } from './live.ts'
import type { LoadWork } from './work.ts'

let work: LoadWork | undefined

interface Loaded {
  readonly image: Float32Array
  readonly label: Float32Array
  readonly shape: Volume['grid']['shape']
}

async function loaded({ image, label, spacing, min, max, to }: LoadWork): Promise<Loaded> {
  const [context, before] = [dryContext('counter'), {} as Upstream]
  const stages = [
    load.create({ kind: 'load', parallel: 1, geometryToleranceMm: 0.01 }, context, before),
    resample.create({ kind: 'resample', spacing: [...spacing], keys: ['image', 'label'] }, context, before),
    clip.create({ kind: 'clip', min, max, to: [...to] }, context, before),
  ]
  const sample: Sample = { case: { id: 'bench', index: 0, image, label }, epoch: 0, steps: [], patch: 0, draws: {} }
  const flow = stages.reduce((source, stage) => stage(source), highland<Item>([sample]))
  const made = (await flow.toPromise(Promise)) as Sample
  const [voxels, classes] = await Promise.all([materialise(made.image!), materialise(made.label!)])
  return { image: voxels, label: classes, shape: made.image!.grid.shape }
}

async function repeat(): Promise<Repetition> {
  if (globalThis.gc) return { seconds: 0, outcome: [await peakLiveBytes(globalThis.gc, () => resultBytes(work!))] }
  const started = performance.now()
  const result = await loaded(work!)
  const seconds = (performance.now() - started) / 1000
  const outcome = outcomeOf(result)
  // Whoever is done gives back, as Python's count of references does it: no two results at once.
  for (const voxels of [result.image, result.label]) loadAddon().release(voxels.buffer as ArrayBuffer)
  return { seconds, outcome }
}

async function resultBytes(wanted: LoadWork): Promise<number> {
  const { image, label } = await loaded(wanted)
  return image.byteLength + label.byteLength
}

/** Extents, means of image and label, then both at the samples: as peers/peer.py. */
function outcomeOf({ image, label, shape }: Loaded): number[] {
  const indices = work!.samples.map(place => {
    const [x, y, z] = place.map((share, axis) => Math.min(Math.floor(share * shape[axis]!), shape[axis]! - 1))
    return (z! * shape[1] + y!) * shape[0] + x!
  })
  return [...shape, mean(image), mean(label), ...[image, label].flatMap(voxels => indices.map(at => voxels[at]!))]
}

function mean(voxels: Float32Array): number {
  return voxels.reduce((sum, value) => sum + value, 0) / voxels.length
}

await serve<LoadWork>({
  async prepare(wanted) {
    work = wanted
  },
  repeat,
  report: () => ({ peakBytes: peakRss(), facts: { ctflow: version() } }),
})
