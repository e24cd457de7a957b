/**
 * One scan on its way to two patches: the first time its files are inflated and resampled and the result is written to the
 * cache on disk, the second time the patches are read from there, by a run that has not seen the scan before.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import highland from 'highland'
import { compose } from '../pipeline/compose.ts'
import { validateDefinition } from '../pipeline/definition.ts'
import { openLedger } from '../pipeline/ledger.ts'
import { unknownOrder } from '../pipeline/schedule.ts'
import type { Engine } from '../pipeline/engine.ts'
import type { Item, Sample } from '../pipeline/flow.ts'
import type { Context } from '../pipeline/stage.ts'
import { writeScan } from './load/scan.ts'
import type { Bench, Trial } from './trial.ts'

const folder = mkdtempSync(join(tmpdir(), 'ctflow-bench-case-'))
let written: ReturnType<typeof writeScan> | undefined

/** Seconds until the patches of the published size are there. */
async function pass(cacheFolder: string): Promise<number> {
  written ??= writeScan()
  const { image, label } = (await written).scan
  const { stages } = validateDefinition(
    {
      task: 'train',
      dataset: { list: 'not read' },
      network: { kind: 'segresnet' },
      stages: [
        { kind: 'load' },
        { kind: 'map-label', classes: 2 },
        { kind: 'resample', spacing: [0.8, 0.8, 5] },
        { kind: 'clip' },
        { kind: 'cache', policy: 'disk', disk: { folder: cacheFolder } },
        { kind: 'crop', size: [224, 224, 32], samples: 2 },
        { kind: 'batch', size: 2 },
        { kind: 'train', epochs: 1 },
      ],
      output: 'not written',
    },
    folder,
  )
  const context: Context = {
    seed: 0,
    random: { mode: 'counter' },
    ledger: openLedger(2 ** 31),
    upcoming: unknownOrder,
    folder,
    engine: () => ({ info: { classes: 2 } }) as Engine,
    signal: new AbortController().signal,
    count() {},
    note(text) {
      throw new Error(text)
    },
  }
  const flow = compose(stages.slice(0, -2), context).at(-1)!
  const sample: Sample = { case: { id: 'scan', index: 0, image, label }, epoch: 0, steps: [], patch: 0, draws: {} }
  const started = performance.now()
  const patches = (await flow(highland<Item>([sample]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
  if (patches.length !== 2) throw new Error(`expected 2 patches, found ${patches.length}`)
  return (performance.now() - started) / 1000
}

const kept = join(folder, 'kept')
let passes = 0

const first: Trial = {
  name: 'case/512x512x300/first-epoch',
  unit: 's',
  runs: 7,
  run: () => pass(join(folder, `new-${passes++}`)),
}

const second: Trial = {
  name: 'case/512x512x300/second-epoch-from-disk',
  unit: 's',
  runs: 7,
  prepare: async () => void (await pass(kept)),
  run: () => pass(kept),
}

export const bench: Bench = {
  trials: [first, second],
  comparisons: [{ name: 'case/512x512x300/disk', unit: 'times as fast', of: [first.name], over: second.name }],
  interleaved: true,
  async close() {
    rmSync(folder, { recursive: true, force: true })
    await (await written)?.remove()
  },
}
