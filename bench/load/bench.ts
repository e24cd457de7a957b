/**
 * A scan with its label from gzipped files to the network's spacing and range, as the published pipeline does it: by our
 * stages and by MONAI's transforms, each in a process of its own, in turns. Then the bytes that live meanwhile, for scans
 * of any length.
 */

import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command, Repetition } from '../network/contender.ts'
import { entrantTrial } from '../network/network-trial.ts'
import { peerCommand, peersMissing } from '../peers/environment.ts'
import type { Bench } from '../trial.ts'
import { liveBench } from './live-bench.ts'
import { scanShape, writeScan, type Scan } from './scan.ts'
import { loadWork, type LoadWork } from './work.ts'

const name = `load/${scanShape.join('x')}`

/** Files are written when a trial first asks, and removed when its bench is over. */
function scanFiles(times = 1): { work: () => Promise<LoadWork>; remove: () => Promise<void> } {
  let written: Promise<{ scan: Scan; remove: () => Promise<void> }> | undefined
  return {
    async work() {
      written ??= writeScan(times)
      const { image, label } = (await written).scan
      return loadWork(image, label)
    },
    remove: async () => (await written)?.remove(),
  }
}

function ours(...flags: string[]): Command {
  const own = fileURLToPath(import.meta.url)
  const file = fileURLToPath(new URL(`./ours${extname(own)}`, import.meta.url))
  return { file: process.execPath, args: [...flags, file], timeoutSeconds: 120 }
}

/** Extents and labels are the same, intensities within a millionth of their range: throws otherwise. */
export function checkSame(found: readonly number[], expected: readonly number[]): void {
  const [shape, expectedShape] = [found.slice(0, 3).join(' x '), expected.slice(0, 3).join(' x ')]
  if (shape !== expectedShape) throw new Error(`its grid is not ours: ${shape} voxels for ${expectedShape}`)
  const samples = (expected.length - 5) / 2
  const worst = (from: number, to: number): number =>
    found.slice(from, to).reduce((most, value, i) => {
      const away = Math.abs(value - expected[from + i]!)
      return Number.isNaN(away) ? Infinity : Math.max(most, away)
    }, 0)
  const image = Math.max(worst(3, 4), worst(5, 5 + samples))
  if (found.length !== expected.length || !(image <= 1e-6))
    throw new Error(`its intensities are not ours: off by ${image} of the range`)
  const label = Math.max(worst(4, 5), worst(5 + samples, expected.length))
  if (!(label <= 1e-9)) throw new Error(`its labels are not ours: off by ${label}`)
}

function againstMonai(): Bench {
  const files = scanFiles()
  let expected: readonly number[] | undefined
  const runs = 5
  return {
    trials: [
      entrantTrial({
        name,
        runs,
        entrant: async () => ({ command: ours(), work: await files.work() }),
        check({ outcome }) {
          expected = outcome
          if (!(outcome[4]! > 0)) throw new Error('expected lesions in the label, found none')
        },
      }),
      entrantTrial({
        name: `${name}/monai`,
        runs,
        against: 'monai-default',
        unavailable: peersMissing,
        async entrant() {
          return { command: await peerCommand(200), work: { ...(await files.work()), framework: 'loading' } }
        },
        check({ outcome }: Repetition) {
          if (expected) checkSame(outcome, expected)
        },
      }),
    ],
    comparisons: [
      { name, unit: 'times as fast', of: [`${name}/monai`], over: name, against: 'monai-default' },
      {
        name: `${name}/peak-of-memory`,
        unit: 'times ours',
        of: [`${name}/monai`],
        over: name,
        figure: 'peakBytes',
        against: 'monai-default',
      },
    ],
    interleaved: true,
    close: files.remove,
  }
}

const live = liveBench({
  name: 'load-live-bytes',
  command: ours('--expose-gc'),
  files: scanFiles,
  counted: 'most bytes of arrays, collected every 3 ms, less the result',
})

export const benches: readonly Bench[] = [againstMonai(), live]
