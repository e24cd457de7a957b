/** PyTorch beside us, where a Python has it: `PEERS_PYTHON`, else `python3`. Nothing is installed. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { defaultAdam } from '../../model/adam.ts'
import { networkWith } from '../kernels/layers.ts'
import { projectRoot } from '../machine.ts'
import { startContender, type Contender } from '../network/contender.ts'
import { entrantTrial } from '../network/network-trial.ts'
import { nameOf, type Work } from '../network/work.ts'
import type { Against, Trial } from '../trial.ts'
import type { KernelCase } from './kernels.ts'

/**
 * Eager execution as PyTorch comes: convolutions may use TF32 (`float32`); the same with data and results that stay on the GPU
 * (`float32-resident`); without TF32; and with autocast, which is no float32 any more and stands there for information.
 */
export const variants = ['float32', 'float32-resident', 'float32-no-tf32', 'bfloat16-autocast'] as const
export type Variant = (typeof variants)[number]

export interface Torch {
  readonly python: string
  /** Why it cannot be compared; undefined where it can. */
  readonly missing: string | undefined
}

/** `onGpu`: only a PyTorch that sees a GPU is compared. */
export function findTorch(onGpu: boolean): Torch {
  const python = process.env['PEERS_PYTHON'] ?? 'python3'
  const { status, stdout, stderr, error } = spawnSync(
    python,
    ['-c', 'import torch; print(torch.cuda.is_available())'],
    {
      encoding: 'utf8',
      timeout: 120_000,
    },
  )
  if (status !== 0) {
    const why = error ? error.message : stderr.trim().split('\n').at(-1)
    return { python, missing: `${python} has no PyTorch (${why}); PEERS_PYTHON names another Python` }
  }
  if (onGpu && stdout.trim() !== 'True') return { python, missing: `PyTorch of ${python} sees no GPU` }
  return { python, missing: undefined }
}

export function torchName(work: Work, variant: Variant): string {
  return `pytorch/${nameOf(work).replace(/\/[^/]*$/, '')}/${variant}`
}

const program = join(projectRoot(), 'bench', 'gpu', 'peer.py')
const command = (python: string) => ({ file: python, args: ['-u', program], timeoutSeconds: 600 })

const againstOf = (variant: Variant): Against => (variant === 'float32-no-tf32' ? 'pytorch-without-tf32' : 'pytorch')

/** The whole network. */
export function torchTrial({ python, missing }: Torch, work: Work, variant: Variant, runs: number): Trial {
  const { task, shape, batch, threads, initFilters, seconds = 0, adapter = '' } = work
  const network = networkWith(initFilters)
  return entrantTrial({
    name: torchName(work, variant),
    runs,
    against: againstOf(variant),
    unavailable: async () => missing,
    entrant: () => ({
      command: command(python),
      work: {
        kind: 'network',
        task,
        shape,
        batch,
        threads,
        seconds,
        adapter,
        variant,
        network,
        learningRate: defaultAdam.learningRate,
      },
    }),
    check: ({ outcome }) => {
      if (!outcome.every(Number.isFinite)) throw new Error(`expected finite numbers, found ${outcome.join(', ')}`)
    },
  })
}

/** One process for all kernels: it starts with the first and is closed by the caller. */
export function torchKernels({ python, missing }: Torch, threads: number, adapter: string) {
  let contender: Contender | undefined
  return {
    /** undefined where nothing of PyTorch's is compared with the kernel. */
    trial({ name, unit, amount, peer }: KernelCase, runs: number, seconds: number): Trial | undefined {
      if (!peer) return undefined
      const { convolution, pass } = peer
      const { input, ci, co, kernel, stride } = convolution
      return {
        name: `pytorch/${name}`,
        unit,
        runs,
        against: 'pytorch',
        unavailable: async () => missing,
        async prepare() {
          contender ??= startContender(command(python))
          const work = { kind: 'convolution', pass, input, ci, co, kernel, stride }
          await contender.prepare({ ...work, threads, seconds, adapter, variant: 'float32' })
        },
        run: async () => amount / (await contender!.repeat()).seconds,
      }
    },
    async close(): Promise<void> {
      await contender?.close()
      contender = undefined
    },
  }
}
