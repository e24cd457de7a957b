/** What several parts of a definition must agree on, and no single schema can say. */

import { checkSegresnet, type SegresnetOptions } from '../model/segresnet.ts'
import { messageOf } from '../pipeline/errors.ts'
import type { TrainOptions } from './train.ts'

interface Definition {
  readonly task: string
  readonly dataset: { readonly list?: string; readonly lungs?: string }
  readonly network?: { readonly kind: string } & Readonly<Record<string, unknown>>
  readonly stages: readonly ({ readonly kind: string } & Readonly<Record<string, unknown>>)[]
}

interface Problem {
  readonly path: string
  readonly message: string
}

/** Problems with their JSON paths; none when everything fits. */
export function agreements({ task, dataset, network, stages }: Definition): Problem[] {
  const problems: Problem[] = []
  if (network) {
    const options = network as unknown as SegresnetOptions
    try {
      checkSegresnet(options)
    } catch (error) {
      return [{ path: '/network', message: messageOf(error) }]
    }
    const divisor = 2 ** (options.blocksDown.length - 1)
    for (const { path, size } of sizes(stages)) {
      const bad = size.find(extent => extent % divisor !== 0)
      if (bad !== undefined)
        problems.push({
          path,
          message: `expected extents divisible by ${divisor} (the network halves ${options.blocksDown.length - 1} times), found ${bad}`,
        })
    }
  }
  const crop = stages.find(({ kind }) => kind === 'crop')?.['size'] as readonly number[] | undefined
  const augment = stages.findIndex(({ kind }) => kind === 'augment')
  const turns = augment < 0 ? undefined : (stages[augment]!['rotate90'] as { probability: number } | undefined)
  if (crop && turns && turns.probability > 0 && crop[0] !== crop[1]) {
    problems.push({
      path: `/stages/${augment}/rotate90`,
      message: `quarter turns swap x and y, so the crop must be as wide as high: found ${crop.join(' x ')}; choose a square crop or "rotate90": {"probability": 0}`,
    })
  }
  return [...problems, ...unsaved(task, stages), ...unread(dataset, stages), ...cachedAway(dataset, stages)]
}

/** Hours of inference whose masks nobody keeps. */
function unsaved(task: string, stages: Definition['stages']): Problem[] {
  const keeps = stages.some(({ kind, probabilities }) => kind === 'save' || probabilities !== undefined)
  const infers = stages.some(({ kind }) => kind === 'infer')
  if (task !== 'infer' || keeps || !infers) return []
  return [{ path: '/stages', message: 'nothing would be kept of the masks: end with "save"' }]
}

/** A folder of lung masks that `load` would not open. */
function unread({ lungs }: Definition['dataset'], stages: Definition['stages']): Problem[] {
  const at = stages.findIndex(({ kind }) => kind === 'load')
  const keys = stages[at]?.['keys'] as readonly string[] | undefined
  if (lungs === undefined || !keys || keys.includes('lungs')) return []
  return [
    {
      path: `/stages/${at}/keys`,
      message:
        'the data set names masks of the lungs, which would not be loaded: add "lungs", leave "keys" out, or leave "lungs" of the data set out',
    },
  ]
}

/** A cache keeps image, label and prediction; what `save` wants beside them would be missing without a word. */
function cachedAway({ list, lungs }: Definition['dataset'], stages: Definition['stages']): Problem[] {
  const kinds = stages.map(({ kind }) => kind)
  const at = kinds.indexOf('cache')
  const infer = kinds.indexOf('infer')
  if (at < 0 || infer < at) return []
  const problem = (what: string, cure: string): Problem => ({
    path: `/stages/${at}`,
    message: `"cache" does not keep ${what}; leave "cache" out${cure}`,
  })
  return stages
    .filter(({ kind }) => kind === 'save')
    .flatMap(save => {
      const wanted = ['preview', 'dicomSeg'].filter(name => save[name] !== undefined && save[name] !== false)
      const found = wanted.map(name => problem(`the scan that "${name}" of "save" needs`, `, or "${name}"`))
      const keys = stages.find(({ kind }) => kind === 'load')?.['keys'] as readonly string[] | undefined
      // Which entries of a list have lungs is not known yet.
      const mayHaveLungs = (list !== undefined || lungs !== undefined) && (keys?.includes('lungs') ?? true)
      if (mayHaveLungs)
        found.push(
          problem(
            'the masks of the lungs that "save" looks at',
            lungs === undefined ? ', or say "keys": ["image"] for "load"' : ', or "lungs" of the data set',
          ),
        )
      return found
    })
}

/** Every size that the network will see, as far as it is known: a window's 0 becomes each image's extent. */
function sizes(stages: Definition['stages']): { path: string; size: readonly number[] }[] {
  return stages.flatMap((stage, i) => {
    if (stage.kind === 'crop') return [{ path: `/stages/${i}/size`, size: stage['size'] as readonly number[] }]
    if (stage.kind === 'infer') return [{ path: `/stages/${i}/window`, size: stage['window'] as readonly number[] }]
    if (stage.kind === 'train')
      return [{ path: `/stages/${i}/validate/window`, size: (stage as unknown as TrainOptions).validate.window }]
    return []
  })
}
