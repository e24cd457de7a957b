/** Where the time of a step and of a window goes: every call into the addon by kernel and shape, and what is left. */

import { openSession, type Session } from '../../engine/session.ts'
import { resolveThreads } from '../../engine/threads.ts'
import { loadAddon, type Addon } from '../../native/addon.ts'
import { medianOf, spreadOf } from '../statistics.ts'
import type { Measured } from '../trial.ts'
import { engineOptions, nameOf, publishedPatch, voxelsOf, type Work } from './work.ts'

const repetitions = 7

/** Milliseconds by the name of the kernel and its shape. */
type Times = Map<string, number>

/** Of the addon's functions that compute; the others are cheap, or belong to what is left. */
const computes = (name: string): boolean => !['peak', 'isa', 'isas', 'setIsa', 'threads', 'setThreads'].includes(name)

/** Every call is timed from now on; `take` gives what has gathered since it was last called. The addon stays wrapped. */
function watchAddon(): { take: () => Times } {
  const addon = loadAddon() as unknown as Record<string, (...args: unknown[]) => unknown>
  let times: Times = new Map()
  for (const name of Object.keys(addon).filter(computes)) {
    const call = addon[name]!
    addon[name] = (...args) => {
      const started = performance.now()
      try {
        return call(...args)
      } finally {
        const key = keyOf(name as keyof Addon, args)
        times.set(key, (times.get(key) ?? 0) + performance.now() - started)
      }
    }
  }
  return {
    take() {
      const taken = times
      times = new Map()
      return taken
    },
  }
}

/** The kernel and, where its shape is a list among the arguments, that. */
function keyOf(name: string, args: readonly unknown[]): string {
  const shape = args.find((arg): arg is number[] => Array.isArray(arg))
  if (!shape) return name
  if (!name.startsWith('conv3d')) return `${name}/${shape.join('-')}`
  const [, d, h, w, ci, kernel] = shape
  const [co, stride] = [shape[11], shape[12]]
  return `${name}/${ci}to${co}ch/${w}x${h}x${d}/kernel-${kernel}/stride-${stride}`
}

/** Milliseconds of every repetition: as a whole, and by kernel. */
async function profile(work: Work): Promise<{ totals: number[]; kernels: Map<string, number[]> }> {
  const session: Session = await openSession(engineOptions(work))
  const { take } = watchAddon()
  const { image, label } = voxelsOf(work)
  const { batch: count, shape } = work
  const once = async (): Promise<unknown> =>
    work.task === 'train-step'
      ? session.step({ image, label, count, shape, cases: ['bench'] })
      : session.infer(image, count, shape)
  const totals: number[] = []
  const kernels = new Map<string, number[]>()
  await once()
  take()
  for (let i = 0; i < repetitions; i++) {
    const started = performance.now()
    await once()
    totals.push(performance.now() - started)
    for (const [name, ms] of take()) kernels.set(name, [...(kernels.get(name) ?? []), ms])
  }
  session.close()
  return { totals, kernels }
}

/** Milliseconds of a repetition by kernel, by kernel and shape, and of what is no kernel, with their share of the whole. */
export async function profileResults(task: Work['task'], initFilters = 8): Promise<Measured[]> {
  const work: Work = {
    task,
    initFilters,
    shape: publishedPatch,
    batch: 1,
    precision: 'float32',
    threads: resolveThreads('auto'),
  }
  const { totals, kernels } = await profile(work)
  const rows = [...kernels].map(([name, values]) => ({ name, values }))
  const families = [...new Set(rows.map(({ name }) => familyOf(name)))].map(family => ({
    name: `${family}, all shapes`,
    values: sumOf(rows.filter(({ name }) => familyOf(name) === family).map(({ values }) => values)),
  }))
  const inKernels = sumOf(rows.map(({ values }) => values))
  const rest = { name: 'everything that is no kernel', values: totals.map((ms, i) => ms - inKernels[i]!) }
  const total = medianOf(totals)
  const slowestFirst = (list: typeof rows): typeof rows =>
    list.toSorted((a, b) => medianOf(b.values) - medianOf(a.values))
  return [{ name: 'the whole', values: totals }, ...slowestFirst([...families, rest]), ...slowestFirst(rows)].map(
    ({ name, values }) => ({
      trial: `profile/${nameOf(work)}/${name}`,
      unit: 'ms',
      ...spreadOf(values),
      runs: values.length,
      values,
      facts: { share: `${((100 * medianOf(values)) / total).toFixed(1)} %` },
    }),
  )
}

const familyOf = (name: string): string => name.split('/')[0]!

function sumOf(lists: readonly (readonly number[])[]): number[] {
  return Array.from({ length: repetitions }, (_, i) => lists.reduce((sum, values) => sum + (values[i] ?? 0), 0))
}
