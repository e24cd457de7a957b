/** A folder of reference values: an index.json, arrays as .npy, checkpoints. Written by make_references.py and its like. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Shape3 } from '../../../pipeline/grid.ts'
import { readNpy, toVolume, type NpyArray } from '../npy.ts'
import { sharedPath } from '../shared.ts'

/** null for NaN, "inf" for infinity. */
export type MetricValue = number | null | 'inf'

/** A .npy file beside the index, or the numbers themselves. */
export type Stored = string | readonly number[]

export interface WindowsEntry {
  readonly roi: readonly number[]
  readonly overlap: number | readonly number[]
  /** Absent where the entry's name says it. */
  readonly mode?: 'constant' | 'gaussian'
  readonly sigma?: number
  readonly logits: string
  readonly probabilities?: string
  readonly native_mask: string
  readonly native_probability_lesion_stride4: string
}

export interface RandomResult {
  readonly run: number
  readonly sample: number
  readonly shape: readonly number[]
  readonly image_sum: number
  readonly label_sum: number
  readonly crop_center: readonly number[]
  readonly corner: number
  readonly first_row: readonly number[]
}

/** What an index may hold; every part may be missing. Arrays are (.., x, y, z), z fastest. */
export interface Index {
  readonly monai: string
  readonly torch: string
  readonly source?: { readonly image: string; readonly label: string }
  readonly native?: { readonly shape: readonly number[]; readonly affine: readonly number[][] }
  readonly resample?: {
    readonly spacing?: readonly number[]
    readonly affine: readonly number[][]
    readonly image: string
    readonly label: string
  }
  readonly crop_foreground?: { readonly start: readonly number[]; readonly end: readonly number[] }
  readonly prefix?: { readonly image: string; readonly label: string; readonly affine: readonly number[][] }
  readonly sliding_window?: { readonly checkpoint: string } & Readonly<Record<string, WindowsEntry | string>>
  readonly random_chain?: { readonly seed: number; readonly compose: string; readonly results: readonly RandomResult[] }
  readonly network?: {
    readonly checkpoint: string
    readonly legacy?: string
    readonly groups?: number
    readonly loss_options?: Readonly<Record<string, boolean | number>>
    readonly input: string
    readonly label: string
    readonly logits: string
    readonly loss: number
    readonly grad_input: string
    readonly grad_l2: Readonly<Record<string, number>>
    readonly grad: Readonly<Record<string, string>>
  }
  readonly adam?: {
    readonly lr: number
    readonly loss_before_each_step: readonly number[]
    readonly checkpoint_after: string
    readonly logits_after: string
    /** How far the reference's own float32 is from float64, where somebody has looked. */
    readonly own_distance_from_float64?: { readonly losses: number; readonly displacement: number }
  }
  readonly checkpoint_variants?: {
    readonly of: string
    readonly tensors: readonly string[]
    readonly files: readonly string[]
  }
  readonly metrics?: {
    readonly spacing: readonly number[]
    /** Beside the masks: metrics by name, such as hd, hd95, assd, nsd_1mm; `nsd` holds more of the last by tolerance, mm. */
    readonly cases: readonly ({
      readonly pred: string
      readonly truth: string
      readonly dice: MetricValue
      readonly nsd?: Readonly<Record<string, MetricValue>>
    } & Readonly<Record<string, unknown>>)[]
  }
  readonly reductions?: {
    readonly classes: number
    readonly cases: readonly { readonly pred: string; readonly truth: string }[]
    /** By MONAI's name of the reduction; `none` is a row per case, without the background. */
    readonly values: Readonly<
      Record<string, MetricValue | readonly MetricValue[] | readonly (readonly MetricValue[])[]>
    >
  }
  readonly reading?: readonly {
    readonly name: string
    readonly file: string
    readonly affine: readonly number[][]
    readonly voxels: string
  }[]
  readonly resamplings?: readonly {
    readonly native_affine: readonly number[][]
    readonly spacing: readonly number[]
    readonly affine: readonly number[][]
    readonly image: string
    readonly label: string
    readonly resampled_image: string
    readonly resampled_label: string
  }[]
  readonly clips?: readonly {
    readonly input: string
    readonly min: number
    readonly max: number
    readonly to: readonly [number, number]
    readonly values: string
  }[]
  readonly foregrounds?: readonly {
    readonly input: string
    readonly threshold: number
    readonly margin: number
    readonly start: readonly number[]
    readonly end: readonly number[]
  }[]
  readonly pads?: readonly {
    readonly input: string
    readonly size: readonly number[]
    readonly mode: 'minimum' | 'constant' | 'edge'
    readonly method: 'symmetric' | 'end'
    readonly values: string
  }[]
  readonly flips?: readonly { readonly input: string; readonly axis: number; readonly values: string }[]
  readonly turns?: readonly { readonly input: string; readonly turns: number; readonly values: string }[]
  readonly losses?: readonly {
    readonly options: Readonly<Record<string, boolean | number>>
    readonly logits: string
    readonly label: string
    readonly loss: number
    readonly gradient: string
  }[]
  readonly adam_updates?: readonly {
    readonly step: number
    readonly options: {
      readonly learningRate: number
      readonly beta1: number
      readonly beta2: number
      readonly epsilon: number
      readonly weightDecay: number
    }
    readonly parameter: Stored
    readonly gradient: Stored
    readonly exp_avg: Stored
    readonly exp_avg_sq: Stored
    readonly parameter_after: Stored
    readonly exp_avg_after: Stored
    readonly exp_avg_sq_after: Stored
  }[]
}

/** (N, z, y, x, C), C fastest. */
export interface ChannelsLast {
  readonly count: number
  readonly shape: Shape3
  readonly channels: number
  readonly data: Float32Array
}

export class References {
  readonly name: string
  readonly index: Index
  readonly #folder: string
  readonly #kept = new Map<string, Promise<unknown>>()

  constructor(folder: string, name: string) {
    this.#folder = folder
    this.name = name
    this.index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Index
  }

  path(file: string): string {
    return join(this.#folder, file)
  }

  /** A scan or its label: in the folder itself, else among the shared scans. An Error where it is in neither. */
  scan(file: string): string {
    const found = [this.path(file), sharedPath('data', 'ct', file)].find(path => path !== undefined && existsSync(path))
    if (found === undefined)
      throw new Error(`${this.name}: ${file} is neither beside the index nor among the shared scans`)
    return found
  }

  array(file: string): NpyArray {
    return readNpy(this.path(file))
  }

  /** One channel of an array (.., x, y, z) in our order (z, y, x), with its shape (x, y, z). */
  volume(file: string, channel = 0): { shape: Shape3; voxels: Float32Array } {
    return toVolume(this.array(file), channel)
  }

  numbers(stored: Stored): Float32Array {
    return Float32Array.from(typeof stored === 'string' ? (this.array(stored).data as Float32Array) : stored)
  }

  /** An array (N, C, x, y, z), or (C, x, y, z) as a batch of one. */
  channelsLast(file: string): ChannelsLast {
    const array = this.array(file)
    const [count, channels] = array.shape.length === 5 ? (array.shape as number[]) : [1, array.shape[0]!]
    const volumes = Array.from({ length: count! * channels! }, (_, at) => toVolume(array, at))
    const { shape } = volumes[0]!
    const size = shape[0] * shape[1] * shape[2]
    const data = new Float32Array(volumes.length * size)
    volumes.forEach(({ voxels }, at) => {
      const [n, c] = [Math.floor(at / channels!), at % channels!]
      for (let i = 0; i < size; i++) data[(n * size + i) * channels! + c] = voxels[i]!
    })
    return { count: count!, shape, channels: channels!, data }
  }

  /** What several checks need is computed once. */
  once<T>(what: string, compute: () => Promise<T>): Promise<T> {
    const kept = this.#kept.get(what) ?? compute()
    this.#kept.set(what, kept)
    return kept as Promise<T>
  }

  /** Lets go what `once` keeps. */
  forget(): void {
    this.#kept.clear()
  }
}

/** Every set of references in a folder and below it, by path; their names begin with `name`. */
export function referencesIn(folder: string, name: string): References[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.name === 'index.json')
    .map(entry => entry.parentPath ?? entry.path)
    .toSorted()
    .map(found => new References(found, join(name, relative(folder, found))))
}
