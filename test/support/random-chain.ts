/** Patches through `crop` and `augment`, built from JSON as a definition builds them, drawing as MONAI does. */

import highland from 'highland'
import { randomOf } from '../../pipeline/random-mode.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Context } from '../../pipeline/stage.ts'
import { stageOf } from '../../stages/index.ts'
import { contextOf, nothingBefore, optionsFrom } from './stage.ts'

/** As much of an engine as a crop asks for. */
export const twoClasses = (): Engine => ({ info: { classes: 2 } }) as Engine

/** One transform of these stages for a whole run: call it once per epoch. The network has two classes. */
export function numpyChain(
  stages: readonly { readonly kind: string }[],
  seed: number,
  fields: Partial<Context> = {},
): (samples: readonly Sample[]) => Promise<Sample[]> {
  const context = contextOf({ seed, random: randomOf('numpy', seed), engine: twoClasses, ...fields })
  const transforms = stages.map(json =>
    stageOf(json.kind).create(optionsFrom(stageOf(json.kind) as never, json), context, nothingBefore),
  )
  return async samples =>
    (await transforms
      .reduce((stream, transform) => transform(stream), highland<Item>([...samples]))
      .collect()
      .toPromise(Promise)) as unknown as Sample[]
}

/** The stages that the words for a Compose in index.json stand for. */
export function stagesOf(compose: string): ({ kind: string } & Record<string, unknown>)[] {
  const find = (pattern: RegExp): string[] => {
    const found = pattern.exec(compose)
    if (!found) throw new Error(`expected ${pattern} in "${compose}"`)
    return found.slice(1)
  }
  const [x, y, z, pos, neg, samples] = find(/Crop\w* (\d+)x(\d+)x(\d+) pos (\S+) neg (\S+) samples (\d+)/).map(Number)
  const [flipAxes, flipP] = find(/RandFlip axis ([\d, ]+) p ([\d.]+)/)
  const [turnP, maxTurns] = find(/RandRotate90 p ([\d.]+) max_k (\d)/).map(Number)
  const [offset, shiftP] = find(/RandShiftIntensity ([\d.]+) p ([\d.]+)/).map(Number)
  return [
    { kind: 'crop', size: [x, y, z], samples, positive: pos, negative: neg },
    {
      kind: 'augment',
      flip: { probability: Number(flipP), axes: flipAxes!.split(',').map(axis => 'xyz'[Number(axis)]) },
      rotate90: { probability: turnP, maxTurns },
      shiftIntensity: { probability: shiftP, offset },
    },
  ]
}
