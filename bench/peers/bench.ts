/**
 * The same work, in turns, by us and by those a user would otherwise take: MONAI on PyTorch as it comes, PyTorch at its
 * best, ONNX Runtime. Every contender must give our numbers before it is timed.
 */

import { resolveThreads } from '../../engine/threads.ts'
import type { Repetition } from '../network/contender.ts'
import { entrantTrial, ours, unavailable, type Entrant } from '../network/network-trial.ts'
import { nameOf, publishedPatch, type Work } from '../network/work.ts'
import type { Against, Bench, Comparison, Trial } from '../trial.ts'
import { peerCommand, peersMissing } from './environment.ts'
import { writeInputs, type Inputs } from './inputs.ts'

/** A way to do the work elsewhere. */
export interface Peer {
  readonly against: Against
  readonly name: string
  readonly framework: 'torch' | 'onnxruntime'
  readonly variant: string
}

const monai: Peer = { against: 'monai-default', name: 'monai', framework: 'torch', variant: 'default' }
/**
 * Channels last, which its convolutions like best. Not torch.compile: on two cores (2.15) it took a fifth to a half more
 * processor time than without, and a minute to compile.
 */
const channelsLast: Peer = {
  against: 'pytorch-best',
  name: 'pytorch-channels-last',
  framework: 'torch',
  variant: 'channels-last',
}
const onnxruntime: Peer = { against: 'onnxruntime', name: 'onnxruntime', framework: 'onnxruntime', variant: '' }

interface Match {
  readonly work: Work
  readonly peers: readonly Peer[]
  readonly runs: number
}

const base = { initFilters: 8, shape: publishedPatch, batch: 1, threads: resolveThreads('auto') }
/** Nobody but PyTorch has bfloat16 here, and by default it does not use it. */
const matches: readonly Match[] = [
  { work: { ...base, task: 'train-step', precision: 'float32' }, peers: [monai, channelsLast], runs: 5 },
  { work: { ...base, task: 'train-step', precision: 'bfloat16' }, peers: [channelsLast], runs: 5 },
  {
    work: { ...base, task: 'window', precision: 'float32' },
    peers: [monai, channelsLast, onnxruntime],
    runs: 9,
  },
  { work: { ...base, task: 'window', precision: 'bfloat16' }, peers: [channelsLast], runs: 9 },
]

/** Relative to the largest value: float32 differs by the order of sums, bfloat16 has 8 bits, float16 11. */
const tolerances: Readonly<Record<Work['precision'], number>> = {
  float32: 1e-3,
  bfloat16: 5e-2,
  float16: 1e-2,
  'float16-matrix': 1e-2,
}

/** Throws unless both computed the same. */
export function checkSame(found: readonly number[], expected: readonly number[], tolerance: number): void {
  if (found.length !== expected.length)
    throw new Error(`expected ${expected.length} numbers to compare with ours, found ${found.length}`)
  const largest = Math.max(...expected.map(Math.abs))
  const difference = Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))
  if (!(difference <= tolerance * largest))
    throw new Error(`its numbers are not ours: off by ${difference}, with values up to ${largest}`)
}

function benchOf({ work, peers, runs }: Match): Bench {
  let expected: readonly number[] | undefined
  let files: Promise<{ inputs: Inputs; remove: () => Promise<void> }> | undefined
  const own: Trial = entrantTrial({
    name: nameOf(work),
    runs,
    unavailable: () => unavailable(work),
    entrant: () => ours(work),
    check: ({ outcome }) => void (expected = outcome),
  })
  const trialOf = (peer: Peer): Trial =>
    entrantTrial({
      name: `${nameOf(work)}/${peer.name}`,
      runs,
      against: peer.against,
      unavailable: peersMissing,
      async entrant() {
        files ??= writeInputs(work)
        return entrantOf(peer, work, (await files).inputs)
      },
      check({ outcome }: Repetition) {
        if (expected) checkSame(outcome, expected, tolerances[work.precision])
      },
    })
  const opponents = [...new Set(peers.map(({ against }) => against))]
  return {
    trials: [own, ...peers.map(trialOf)],
    comparisons: opponents.map((against): Comparison => ({
      name: nameOf(work),
      against,
      unit: 'times as fast',
      of: peers.filter(peer => peer.against === against).map(({ name }) => `${nameOf(work)}/${name}`),
      over: nameOf(work),
    })),
    interleaved: true,
    close: async () => (await files)?.remove(),
  }
}

async function entrantOf({ framework, variant }: Peer, work: Work, inputs: Inputs): Promise<Entrant> {
  return { command: await peerCommand(200), work: { ...work, ...inputs, framework, variant } }
}

export const benches: readonly Bench[] = matches.map(benchOf)
