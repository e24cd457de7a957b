/**
 * `bench -- gpu`: a training step and a window of the published network on a GPU, in turns with PyTorch's, then single kernels
 * as shares of what the GPU can do.
 */

import { resolveThreads } from '../../engine/threads.ts'
import { runBench } from '../measure.ts'
import { networkTrial } from '../network/network-trial.ts'
import { nameOf, type Work } from '../network/work.ts'
import { networkWith } from '../kernels/layers.ts'
import type { Bench, Comparison, Result, Trial } from '../trial.ts'
import { openMeasured, type MeasuredDevice, type Peak } from './device.ts'
import { kernelCases, kernelTrial } from './kernels.ts'
import type { GpuOptions } from './options.ts'
import { findTorch, torchKernels, torchName, torchTrial, variants, type Torch } from './torch.ts'

export interface GpuResults {
  readonly device: string
  readonly results: readonly Result[]
}

/**
 * Rejects with ERR_ENGINE, before anything is measured, where there is no such device. `tell` sees the device's description,
 * `onResult` every result; `select` leaves trials out.
 */
export async function gpuResults(
  options: GpuOptions,
  tell: (line: string) => void,
  onResult: (result: Result) => void,
  select: (bench: Bench) => Bench,
): Promise<GpuResults> {
  const device = await openMeasured(options)
  const results: Result[] = []
  const measure = async (bench: Bench): Promise<void> => {
    results.push(...(await runBench(select(bench), onResult)))
  }
  try {
    tell(`${device.backend}: ${device.description}`)
    const torch = findTorch(device.isGpu)
    if (torch.missing !== undefined) tell(`not compared: ${torch.missing}`)
    await measure(peakBench(device, options))
    for (const work of works(options)) await measure(networkBench(work, device, torch, options))
    await measureKernels(device, torch, options, measure)
    return { device: `${device.backend}: ${device.description}`, results }
  } finally {
    device.close()
  }
}

function peakBench(device: MeasuredDevice, { rounds, seconds }: GpuOptions): Bench {
  const { peak } = device
  if (!peak) return { trials: [] }
  const kinds: readonly [Peak, string][] = [
    ['multiply-add', 'TFLOP/s'],
    ['copy', 'GB/s'],
  ]
  const trials = kinds.map(([kind, unit]): Trial => ({
    name: `${device.backend}/peak/${kind}`,
    unit,
    runs: rounds,
    run: () => peak(kind, seconds),
  }))
  return { trials, interleaved: true }
}

/** The training step at the batch asked for and at 1, and a window. */
function works({ backend, adapter, shape, batch, initFilters, seconds }: GpuOptions): Work[] {
  const common = {
    initFilters,
    shape,
    precision: 'float32',
    threads: resolveThreads('auto'),
    backend,
    seconds,
  } as const
  const all = { ...common, ...(adapter !== undefined && { adapter }) }
  const batches = batch === 1 ? [1] : [batch, 1]
  return [
    ...batches.map((batch): Work => ({ ...all, task: 'train-step', batch })),
    { ...all, task: 'window', batch: 1 },
  ]
}

const ourName = (work: Work): string => `${work.backend}/${nameOf(work)}`

/** Ours in every precision that the GPU has, in turns with PyTorch's variants. */
function networkBench(work: Work, device: MeasuredDevice, torch: Torch, { rounds }: GpuOptions): Bench {
  const own = device.precisions.map((precision): Work => ({ ...work, precision }))
  const trials = [
    ...own.map(work => networkTrial(work, rounds, ourName(work))),
    ...variants.map(variant => torchTrial(torch, { ...work, adapter: device.description }, variant, rounds)),
  ]
  const comparisons = variants.map((variant): Comparison => ({
    name: `${ourName(work)} over ${variant}`,
    unit: 'of its time',
    of: [ourName(work)],
    over: torchName(work, variant),
    against: 'pytorch',
  }))
  return { trials, comparisons, interleaved: true }
}

async function measureKernels(
  device: MeasuredDevice,
  torch: Torch,
  { initFilters, shape, rounds, seconds }: GpuOptions,
  measure: (bench: Bench) => Promise<void>,
): Promise<void> {
  const peers = torchKernels(torch, resolveThreads('auto'), device.description)
  try {
    for (const kernel of kernelCases(networkWith(initFilters), shape)) {
      const ours = kernelTrial(kernel, device, rounds, seconds / 5)
      // On a processor they say nothing about a GPU; that it is missing has been said once.
      const theirs = device.isGpu && torch.missing === undefined ? peers.trial(kernel, rounds, seconds / 5) : undefined
      const comparisons = theirs && [
        { name: ours.name, unit: 'times as fast', of: [ours.name], over: theirs.name, against: 'pytorch' as const },
      ]
      await measure({
        trials: theirs ? [ours, theirs] : [ours],
        ...(comparisons && { comparisons }),
        interleaved: true,
      })
    }
  } finally {
    await peers.close()
  }
}
