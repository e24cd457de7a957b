/**
 * A whole scan from its file to the mask on its own grid: by our stages, by MONAI, and by our network alone on as many
 * windows, each in a process of its own, in turns. Then the bytes that live meanwhile, for scans of any length.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openNifti } from '../../imaging/nifti-read.ts'
import { materialise } from '../../imaging/volume.ts'
import { liveBench } from '../load/live-bench.ts'
import { writeScan, scanShape, type Scan } from '../load/scan.ts'
import type { Command } from '../network/contender.ts'
import { entrantTrial } from '../network/network-trial.ts'
import { publishedStep } from '../network/work.ts'
import { peerCommand, peersMissing } from '../peers/environment.ts'
import { writeInputs } from '../peers/inputs.ts'
import type { Bench } from '../trial.ts'
import { inferWork, type InferWork } from './work.ts'

const name = `infer/${scanShape.join('x')}`
/** Voxels of the mask that may differ from MONAI's. */
const mostDiffering = 1e-4

interface Files {
  readonly work: (what: InferWork['what'], owner: string) => Promise<InferWork>
  /** Where an owner's mask lies. */
  readonly mask: (owner: string) => string
  readonly remove: () => Promise<void>
}

/** The scan is written when a trial first asks, and removed when its bench is over. */
function scanFiles(times = 1): Files {
  let written: Promise<{ scan: Scan; remove: () => Promise<void> }> | undefined
  const masks = mkdtempSync(join(tmpdir(), 'ctflow-infer-'))
  return {
    async work(what, owner) {
      written ??= writeScan(times)
      return inferWork(what, (await written).scan.image, join(masks, owner))
    },
    mask: owner => join(masks, owner, 'masks', `${owner}.nii.gz`),
    async remove() {
      rmSync(masks, { recursive: true, force: true })
      await (await written)?.remove()
    },
  }
}

function ours(...flags: string[]): Command {
  const own = fileURLToPath(import.meta.url)
  const file = fileURLToPath(new URL(`./ours${extname(own)}`, import.meta.url))
  return { file: process.execPath, args: [...flags, file], timeoutSeconds: 900 }
}

/** Share of voxels in which two masks differ. */
async function differing(a: string, b: string): Promise<number> {
  const [first, second] = await Promise.all([a, b].map(async path => (await openNifti(path)).volume))
  const [shape, other] = [first!.grid.shape.join(' x '), second!.grid.shape.join(' x ')]
  if (shape !== other) throw new Error(`its mask has ${other} voxels, ours ${shape}`)
  const [found, expected] = [await materialise(first!), await materialise(second!)]
  let count = 0
  for (let i = 0; i < found.length; i++) if (found[i] !== expected[i]) count++
  return count / found.length
}

function wholeScan(): Bench {
  const files = scanFiles()
  let inputs: ReturnType<typeof writeInputs> | undefined
  let wrong = 0
  const runs = 3
  const monai = entrantTrial({
    name: `${name}/monai`,
    runs,
    against: 'monai-default',
    unavailable: peersMissing,
    async entrant() {
      inputs ??= writeInputs(publishedStep)
      const { weights } = (await inputs).inputs
      return {
        command: await peerCommand(600),
        work: { ...(await files.work('scan', 'monai')), weights, framework: 'inference' },
      }
    },
  })
  return {
    trials: [
      entrantTrial({ name, runs, entrant: async () => ({ command: ours(), work: await files.work('scan', 'ours') }) }),
      entrantTrial({
        name: `${name}/windows-alone`,
        runs,
        entrant: async () => ({ command: ours(), work: await files.work('windows', 'windows') }),
      }),
      {
        ...monai,
        async run() {
          const seconds = await monai.run()
          wrong = await differing(files.mask('ours'), files.mask('monai'))
          if (!(wrong <= mostDiffering)) throw new Error(`its mask differs from ours in ${wrong} of the voxels`)
          return seconds
        },
        facts: () => ({ ...monai.facts?.(), 'voxels that differ, share': wrong }),
      },
    ],
    comparisons: [
      { name: `${name}/over-windows-alone`, unit: 'times', of: [name], over: `${name}/windows-alone` },
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
    async close() {
      await files.remove()
      await (await inputs)?.remove()
    },
  }
}

const live = liveBench({
  name: 'infer-live-bytes',
  command: ours('--expose-gc'),
  files(times) {
    const files = scanFiles(times)
    return { work: () => files.work('scan', 'live'), remove: files.remove }
  },
  counted: 'most bytes of arrays, collected every 3 ms; the network computes nothing',
})

export const benches: readonly Bench[] = [wholeScan(), live]
