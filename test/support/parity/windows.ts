/** Sliding windows over a scan, from the NIfTI file to the mask on its own grid. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crop } from '../../../imaging/crop.ts'
import { invert } from '../../../imaging/invert.ts'
import { openNifti } from '../../../imaging/nifti-read.ts'
import { materialise, residentVolume } from '../../../imaging/volume.ts'
import { writeSafetensors } from '../../../model/safetensors.ts'
import { compose, drain } from '../../../pipeline/compose.ts'
import { validateDefinition, type Definition } from '../../../pipeline/definition.ts'
import { createProgress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import type { Means } from '../../../native/windows.ts'
import type { Item, Sample } from '../../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../../pipeline/grid.ts'
import { sampleOf } from '../../../pipeline/tasks/task.ts'
import { SharedMemory } from '../../../stages/shared-memory.ts'
import { slide, type Slid } from '../../../stages/slide.ts'
import type { SlideOptions } from '../../../stages/slide-plan.ts'
import { Turns } from '../../../stages/turns.ts'
import { maxDifference } from '../numbers.ts'
import { contextOf } from '../stage.ts'
import { largest, type Check, type Measured } from './check.ts'
import { withEngine } from './network.ts'
import { spacingOfReference } from './reading.ts'
import type { References, WindowsEntry } from './references.ts'
import { networkOf, weightsOf } from './weights.ts'

/** Every entry of a kind, as one row of the table. */
const kinds: readonly { readonly step: string; readonly has: (name: string, entry: WindowsEntry) => boolean }[] = [
  { step: 'windows, constant', has: (name, entry) => modeOf(name, entry) === 'constant' && isPlain(entry) },
  { step: 'windows, gaussian', has: (name, entry) => modeOf(name, entry) === 'gaussian' && isPlain(entry) },
  { step: 'windows, gaussian of another width', has: (_, { sigma }) => sigma !== undefined },
  { step: 'windows, an overlap for each axis', has: (_, { overlap }) => typeof overlap !== 'number' },
]

export const windowChecks: readonly Check[] = [
  ...kinds.map(({ step, has }): Check => ({
    step,
    quantity: 'blended logits',
    unit: 'of the largest logit',
    tolerance: 2e-5,
    run: references => overEntries(references, has, ({ logits }) => logits),
  })),
  {
    step: 'windows larger than the image',
    quantity: 'blended logits',
    unit: 'of the largest logit',
    tolerance: 2e-5,
    run: references =>
      overEntries(
        references,
        (_, { roi, logits }) =>
          references
            .array(logits)
            .shape.slice(-3)
            .some((n, axis) => n < roi[axis]!),
        ({ logits }) => logits,
      ),
  },
  {
    step: 'soft-max after blending',
    quantity: 'probabilities on the grid of the network',
    unit: 'of 1',
    tolerance: 2e-5,
    run: references =>
      overEntries(
        references,
        (_, { probabilities }) => probabilities !== undefined,
        ({ probabilities }) => probabilities,
      ),
  },
  {
    step: 'inversion',
    quantity: "probabilities on the scan's grid, from the reference's own logits",
    unit: 'of 1',
    tolerance: 2e-6,
    run: references =>
      overEntries(
        references,
        () => true,
        ({ inverted }) => inverted,
      ),
  },
  {
    step: 'inversion',
    quantity: "probabilities on the scan's grid, from the file",
    unit: 'of 1',
    tolerance: 2e-5,
    run: references =>
      overEntries(
        references,
        () => true,
        ({ native }) => native,
      ),
  },
  {
    step: 'arg-max: the mask',
    quantity: 'voxels that differ, from the file to the file',
    unit: 'of all voxels',
    tolerance: 1e-4,
    run: async references => {
      let [differing, voxels] = [0, 0]
      const measured = await overEntries(
        references,
        () => true,
        compared => {
          differing += compared.maskDiffering
          voxels += compared.maskVoxels
          return compared.maskDiffering / compared.maskVoxels
        },
      )
      return measured && { ...measured, count: `${measured.count}; ${differing} of ${voxels} voxels` }
    },
  },
]

function modeOf(name: string, { mode }: WindowsEntry): 'constant' | 'gaussian' {
  return mode ?? (name.startsWith('gaussian') ? 'gaussian' : 'constant')
}

function isPlain({ overlap, sigma }: WindowsEntry): boolean {
  return typeof overlap === 'number' && sigma === undefined
}

interface Compared {
  readonly logits: number
  readonly probabilities?: number
  readonly inverted: number
  readonly native: number
  readonly maskDiffering: number
  readonly maskVoxels: number
}

async function overEntries(
  references: References,
  has: (name: string, entry: WindowsEntry) => boolean,
  take: (compared: Compared) => number | undefined,
): Promise<Measured | undefined> {
  const entries = entriesOf(references).filter(([name, entry]) => has(name, entry))
  if (entries.length === 0) return undefined
  const all = await references.once('windows', () => compareAll(references))
  const differences = entries.map(([name]) => take(all.get(name)!) ?? Infinity)
  return { difference: largest(differences), count: entries.map(([name]) => name).join(', ') }
}

function entriesOf({ index }: References): [string, WindowsEntry][] {
  return Object.entries(index.sliding_window ?? {}).filter(
    (pair): pair is [string, WindowsEntry] => typeof pair[1] === 'object',
  )
}

/** The stages of the definition before `infer`. */
function prefixStages(references: References): object[] {
  return [
    { kind: 'load', keys: ['image'] },
    { kind: 'channel-first' },
    { kind: 'resample', spacing: spacingOfReference(references) },
    { kind: 'clip', min: -1000, max: 500 },
    { kind: 'crop-foreground' },
  ]
}

async function compareAll(references: References): Promise<ReadonlyMap<string, Compared>> {
  const { sliding_window: windows, source } = references.index
  const folder = mkdtempSync(join(tmpdir(), 'ctflow-parity-'))
  try {
    const weights = await weightsOf(references.path(windows!.checkpoint))
    const network = networkOf(weights)
    await writeSafetensors(join(folder, 'weights.safetensors'), weights)
    const image = references.scan(source!.image)
    writeFileSync(join(folder, 'list.json'), JSON.stringify({ testing: [{ image }] }))
    const definition = (name: string, entry: WindowsEntry): Definition =>
      validateDefinition(
        {
          task: 'infer',
          dataset: { list: 'list.json' },
          network: { ...network, weights: 'weights.safetensors' },
          stages: [...prefixStages(references), inferStage(name, entry), { kind: 'save' }],
          output: name,
        },
        folder,
      )
    const found = new Map<string, Compared>()
    for (const [name, entry] of entriesOf(references)) {
      const definitionOfEntry = definition(name, entry)
      const mask = await maskOf(definitionOfEntry)
      const expected = references.volume(entry.native_mask)
      const wrong = mask.voxels.reduce((sum, value, i) => sum + (value === expected.voxels[i] ? 0 : 1), 0)
      const stepByStep = await withEngine(network, weights, engine =>
        compareSteps(references, entry, definitionOfEntry, contextOf({ engine: () => engine })),
      )
      found.set(name, {
        ...stepByStep,
        maskDiffering: maxDifference(mask.shape, expected.shape) === 0 ? wrong : Infinity,
        maskVoxels: expected.voxels.length,
      })
    }
    return found
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function inferStage(name: string, entry: WindowsEntry): object {
  const { roi: window, overlap, sigma } = entry
  return {
    kind: 'infer',
    window,
    overlap,
    blend: modeOf(name, entry),
    windowBatch: 2,
    ...(sigma !== undefined && { sigma }),
  }
}

/** As a user runs it: the mask is read from the file that `save` wrote. */
async function maskOf(definition: Definition): Promise<{ shape: Shape3; voxels: Float32Array }> {
  const result = await run(definition, { progress: createProgress('none') })
  if (result.status !== 'ok') throw new Error(`${result.error ?? result.failures[0]?.reason}`)
  const folder = join(definition.output, 'masks')
  const file = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(path => path.endsWith('.nii.gz'))!
  const { volume } = await openNifti(join(folder, file))
  return { shape: volume.grid.shape, voxels: await materialise(volume) }
}

/** The same stages one by one, for what a run does not show. */
async function compareSteps(
  references: References,
  entry: WindowsEntry,
  definition: Definition,
  context: ReturnType<typeof contextOf>,
): Promise<Omit<Compared, 'maskDiffering' | 'maskVoxels'>> {
  const infer = definition.stages.at(-2)!
  const flow = compose(definition.stages.slice(0, -2), context).at(-1)!
  const samples: Item[] = []
  const image = references.scan(references.index.source!.image)
  await drain([sampleOf({ id: 'scan', index: 0, image }, 0)], flow, {
    item: item => void samples.push(item),
    caseFailed: error => {
      throw error
    },
  })
  const sample = samples[0] as Sample
  const slid = (means: Means): Slid =>
    slide(sample.image!, infer as unknown as SlideOptions, means, {
      context,
      memory: new SharedMemory(),
      turns: new Turns(),
    })
  // Of two classes the difference is kept.
  const blended = slid('logits')
  const { from } = blended.padded
  const expected = classesOf(references, entry.logits)
  const peak = largest(expected.map(values => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)))
  const difference = expected[1]!.map((value, i) => value - expected[0]![i]!)
  const logits = maxDifference((await unpadded(blended))[0]!, difference) / peak

  const shares = slid('probabilities')
  const [, own] = await Promise.all(shares.maps.map(map => sparse(invert([...sample.steps, shares.padded], map))))
  const native = references.volume(entry.native_probability_lesion_stride4).voxels
  const probabilities =
    entry.probabilities === undefined
      ? undefined
      : largest(
          (await unpadded(slid('probabilities'))).map((found, c) =>
            maxDifference(found, classesOf(references, entry.probabilities!)[c]!),
          ),
        )
  const share = softmax(expected)[1]!
  const inverted = await sparse(invert(sample.steps, residentVolume(from, share)))
  return {
    logits,
    ...(probabilities !== undefined && { probabilities }),
    native: maxDifference(own!, native),
    inverted: maxDifference(inverted, native),
  }
}

/** Every map of the whole image, what was filled up cut off. */
async function unpadded({ maps, padded: { before, from } }: Slid): Promise<Float32Array[]> {
  return Promise.all(maps.map(map => materialise(crop(map, { start: before, shape: from.shape }))))
}

function classesOf(references: References, file: string): Float32Array[] {
  return Array.from({ length: references.array(file).shape[0]! }, (_, c) => references.volume(file, c).voxels)
}

function softmax(logits: readonly Float32Array[]): Float32Array[] {
  return logits.map(values =>
    values.map((value, i) => 1 / logits.reduce((sum, other) => sum + Math.exp(other[i]! - value), 0)),
  )
}

/** Every fourth voxel of each axis. */
async function sparse(volume: Volume): Promise<Float32Array> {
  const [nx, ny, nz] = volume.grid.shape
  const voxels = await materialise(volume)
  const kept: number[] = []
  for (let z = 0; z < nz; z += 4) {
    for (let y = 0; y < ny; y += 4) for (let x = 0; x < nx; x += 4) kept.push(voxels[(z * ny + y) * nx + x]!)
  }
  return Float32Array.from(kept)
}
