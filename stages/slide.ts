/**
 * The network over a volume that streams by. Windows run in ascending z over the planes at hand; planes that no later window
 * touches leave as probabilities. Whatever the number of slices, a window's depth of planes is all that is held here.
 */

import { PlaneRing } from '../imaging/plane-ring.ts'
import { pad, paddedGrid } from '../imaging/pad.ts'
import { channelVolumes, type ChannelSlab } from '../imaging/channels.ts'
import { oneAhead } from '../imaging/read-ahead.ts'
import { slabPlanes, SlabMemory } from '../imaging/volume.ts'
import {
  coverageOf,
  importanceMap,
  windowFor,
  windowPadding,
  windowRows,
  type Blend,
  type WindowRow,
} from '../imaging/windows.ts'
import {
  addWindow,
  finishPlanes,
  mapsOf,
  takeWindow,
  windowSums,
  type Means,
  type WindowPlace,
  type WindowSums,
} from '../native/windows.ts'
import { codeOf, messageOf, PipelineError } from '../pipeline/errors.ts'
import type { Shape3, SpatialStep, Volume } from '../pipeline/grid.ts'
import type { Context } from '../pipeline/stage.ts'
import { callsInFlight, ringDepth, viewsOf, weighs, type SlideOptions } from './slide-plan.ts'
import type { SharedMemory } from './shared-memory.ts'
import type { Turns } from './turns.ts'

/** What several cases share. */
export interface SlideTools {
  readonly context: Context
  readonly memory: SharedMemory
  /** Who may call the network; the next case reads its first planes meanwhile. */
  readonly turns: Turns
}

export interface Slid {
  /** From the image's grid to that of the maps: what a smaller image is filled up with. */
  readonly padded: Extract<SpatialStep, { kind: 'pad' }>
  /** What was asked for, each to be pulled once, all side by side. */
  readonly maps: Volume[]
  /** Windows, whatever the number of mirrored views of each. */
  readonly windows: number
  /** Since its turn came; waiting for another case is not counted. */
  seconds(): number
}

/** Slabs that are being finished at a time: the last ones are half of a scan, and nothing else is left to do then. */
const finishesInFlight = 2

/** Covers an image with windows; the network runs as the maps are pulled. */
export function slide(image: Volume, options: SlideOptions, means: Means, tools: SlideTools): Slid {
  const window = windowFor(image.grid.shape, options.window as unknown as Shape3)
  // An image smaller than the window is filled up with 0 (the lower end of the clip), as MONAI does.
  const padding = windowPadding(image.grid.shape, window)
  const grid = paddedGrid(image.grid, padding)
  const rows = windowRows(grid.shape, window, options.overlap)
  const { classes } = tools.context.engine().info
  const pass = new Pass(pad(image, padding, 'constant', 0), { options, window, rows, classes, means }, tools)
  return {
    padded: { kind: 'pad', from: image.grid, before: padding.before, to: grid },
    maps: channelVolumes({ grid }, mapsOf(means, classes), oneAhead(pass.slabs())),
    windows: rows.reduce((count, { starts }) => count + starts.length, 0),
    seconds: () => (performance.now() - (pass.startedAt ?? performance.now())) / 1000,
  }
}

interface Work {
  readonly options: SlideOptions
  readonly window: Shape3
  readonly rows: readonly WindowRow[]
  readonly classes: number
  readonly means: Means
}

/** A view of a window, and where its logits are: known already, or those of one of a call's windows. */
interface View {
  readonly place: WindowPlace
  readonly logits: Float32Array | { readonly index: number }
  /** All voxels are this one value. */
  readonly constant?: number
}

/** Memory of one call. */
interface Slot {
  readonly input: SharedArrayBuffer
  readonly output: SharedArrayBuffer
}

/** What is to be done in order: logits to be added, planes to be finished. */
type Pending =
  | { readonly views: readonly View[]; readonly slot: Slot; readonly logits: Promise<Float32Array> | undefined }
  | { readonly from: number; readonly end: number }

/** One way of the windows through a volume. */
class Pass {
  readonly #work: Work
  readonly #tools: SlideTools
  readonly #volume: Volume
  readonly #size: number
  /** Only where windows are weighted. */
  readonly #importance: Float32Array | undefined
  readonly #sums: WindowSums
  readonly #slabs = new SlabMemory()
  readonly #pending: Pending[] = []
  /** When its turn came, in milliseconds as `performance.now()` counts. */
  startedAt: number | undefined
  #slots: Slot[] = []
  /** What the network gives for a window of one value: the same whenever it comes again. */
  #known: { readonly value: number; readonly logits: Float32Array } | undefined

  constructor(volume: Volume, work: Work, tools: SlideTools) {
    const { shape } = volume.grid
    const [nx, ny] = shape
    const { window, options, classes } = work
    this.#work = work
    this.#tools = tools
    this.#volume = volume
    this.#size = window[0] * window[1] * window[2]
    const isWeighted = weighs(options)
    const coverage = isWeighted ? undefined : coverageOf(shape, window, options.overlap, viewsOf(options.tta).length)
    if (isWeighted) this.#importance = importanceMap(window, options.blend as Blend, options.sigma)
    this.#sums = windowSums({ nx, ny, depth: window[2] }, classes, coverage)
  }

  async *slabs(): AsyncGenerator<ChannelSlab> {
    const { rows, window } = this.#work
    const ring = new PlaneRing(this.#volume, ringDepth(this.#volume.grid.shape, window, this.#work.options))
    let done: (() => void) | undefined
    try {
      ring.begin(rows[0]!.z + window[2])
      await ring.read()
      done = await this.#tools.turns.take()
      this.startedAt = performance.now()
      this.#slots = this.#takeSlots()
      for (const [i, row] of rows.entries()) {
        await ring.read()
        const next = rows[i + 1]
        if (next) ring.begin(next.z + window[2])
        yield* this.#row(row, ring)
        this.#pending.push({ from: row.z, end: next?.z ?? row.z + window[2] })
      }
      const finishing = ring.finish()
      finishing.catch(() => undefined)
      for (let first = this.#pending.shift(); first; first = this.#pending.shift()) {
        yield* this.#settle(first)
        if (this.#pending.some(isCall)) continue
        // The rest needs no network.
        this.#giveSlots()
        done()
      }
      await finishing
    } finally {
      // An engine at work might still write.
      await Promise.allSettled(this.#pending.filter(isCall).map(({ logits }) => logits))
      this.#giveSlots()
      done?.()
      await ring.close()
    }
  }

  /** Hands all views of a row to the network, `windowBatch` in a call. */
  async *#row({ starts }: WindowRow, ring: PlaneRing): AsyncGenerator<ChannelSlab> {
    const { options, window } = this.#work
    const places = starts.flatMap(start => viewsOf(options.tta).map((flips): WindowPlace => ({ start, window, flips })))
    for (let first = 0; first < places.length;) {
      if (this.#tools.context.signal.aborted) throw new PipelineError('ERR_INTERRUPTED', 'interrupted')
      while (this.#slots.length === 0) yield* this.#settle(this.#pending.shift()!)
      const slot = this.#slots.pop()!
      const views: View[] = []
      let count = 0
      for (; first < places.length && count < options.windowBatch; first++) {
        const to = new Float32Array(slot.input, count * this.#size * 4, this.#size)
        const place = places[first]!
        const isConstant = await takeWindow(ring.planes, ring.ring, place, to)
        if (isConstant && Object.is(this.#known?.value, to[0])) views.push({ place, logits: this.#known!.logits })
        else views.push({ place, logits: { index: count++ }, ...(isConstant && { constant: to[0]! }) })
      }
      this.#pending.push({ views, slot, logits: count === 0 ? undefined : this.#infer(slot, count) })
    }
  }

  #infer(slot: Slot, count: number): Promise<Float32Array> {
    const { window, classes } = this.#work
    const input = new Float32Array(slot.input, 0, count * this.#size)
    const output = new Float32Array(slot.output, 0, count * this.#size * classes)
    const logits = this.#tools.context.engine().infer(input, count, window, output)
    logits.catch(() => undefined) // heard when it is its turn
    return logits
  }

  async *#settle(pending: Pending): AsyncGenerator<ChannelSlab> {
    if (!isCall(pending)) return yield* this.#finish(pending.from, pending.end)
    const { views, slot } = pending
    const ofCall = await pending.logits?.catch((error: unknown) => {
      throw this.#blamed(error)
    })
    const size = this.#size * this.#work.classes
    for (const { place, logits, constant } of views) {
      const own = 'index' in logits ? ofCall!.subarray(logits.index * size, (logits.index + 1) * size) : logits
      if (constant !== undefined) this.#known = { value: constant, logits: own.slice() }
      await addWindow(this.#sums, place, own, this.#importance)
    }
    this.#slots.push(slot)
  }

  /** Planes that no later window touches, a few at a time: while some leave, the next ones are being finished. */
  async *#finish(from: number, end: number): AsyncGenerator<ChannelSlab> {
    const step = slabPlanes(this.#volume.grid)
    const inFlight: Promise<ChannelSlab>[] = []
    try {
      for (let z = from; z < end; z += step) {
        const slab = this.#finished(z, Math.min(step, end - z))
        slab.catch(() => undefined) // heard when it is its turn
        inFlight.push(slab)
        if (inFlight.length === finishesInFlight) yield await inFlight.shift()!
      }
      while (inFlight.length > 0) yield await inFlight.shift()!
    } finally {
      await Promise.allSettled(inFlight)
    }
  }

  async #finished(z: number, planes: number): Promise<ChannelSlab> {
    const { grid } = this.#volume
    const size = planes * grid.shape[0] * grid.shape[1]
    const { means, classes } = this.#work
    const channels = mapsOf(means, classes)
    const { voxels, release } = this.#slabs.slab(z, planes, size * channels)
    if (!(await finishPlanes(this.#sums, z, planes, voxels, means))) throw await this.#notFinite()
    const of = (c: number): Float32Array => voxels.subarray(c * size, (c + 1) * size)
    return { z, planes, channels: Array.from({ length: channels }, (_, c) => of(c)), release: release! }
  }

  #takeSlots(): Slot[] {
    const { options, classes } = this.#work
    const bytes = options.windowBatch * this.#size * 4
    const { memory } = this.#tools
    return Array.from({ length: callsInFlight }, () => ({
      input: memory.take(bytes),
      output: memory.take(bytes * classes),
    }))
  }

  #giveSlots(): void {
    const waiting = this.#pending.filter(isCall).map(({ slot }) => slot)
    for (const { input, output } of [...this.#slots, ...waiting]) {
      this.#tools.memory.give(input)
      this.#tools.memory.give(output)
    }
    this.#slots = []
  }

  /** Weights that give no numbers for a window of zeros either are at fault, else the voxels. */
  async #notFinite(): Promise<PipelineError> {
    const { window } = this.#work
    const zeros = new Float32Array(new SharedArrayBuffer(4 * this.#size))
    const logits = await this.#tools.context.engine().infer(zeros, 1, window)
    if (!logits.every(Number.isFinite)) {
      return new PipelineError(
        'ERR_WEIGHTS',
        'the network gives values that are not finite: its weights are damaged, or belong to another network',
      )
    }
    return new PipelineError(
      'ERR_VOLUME',
      'the network gives values that are not finite for this image, though not for one of zeros: its voxels are too large; limit them with "clip"',
    )
  }

  /** The definition is right for other images where a window is as large as this one: the case alone is at fault then. */
  #blamed(error: unknown): unknown {
    if (codeOf(error) !== 'ERR_DEFINITION' || !this.#work.options.window.includes(0)) return error
    return new PipelineError(
      'ERR_VOLUME',
      `a window as large as the image does not suit the network: ${messageOf(error)}; give the window a size, or "pad" the image`,
      { window: this.#work.window },
      { cause: error },
    )
  }
}

function isCall(pending: Pending): pending is Extract<Pending, { slot: Slot }> {
  return 'slot' in pending
}
