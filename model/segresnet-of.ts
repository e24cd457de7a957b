/** Which SegResNet a set of weights belongs to, as far as names and shapes tell. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Outline } from './checkpoint.ts'
import type { Shapes } from './parameters.ts'
import { publishedSegresnet, segresnetSchema, type SegresnetOptions } from './segresnet.ts'

const { maxItems: mostLevels, items } = segresnetSchema.properties.blocksDown
const { maximum: mostBlocks } = items

/**
 * The network that the shapes speak of; `undefined` where they speak of no SegResNet. Whether all weights fit it is for
 * `checkWeights` to say. Shapes do not tell the number of groups of the norms: 8 is taken, MONAI's default, or the largest
 * power of two below it that divides the channels.
 */
export function segresnetOf(tensors: Shapes): SegresnetOptions | undefined {
  const first = tensors.get('convInit.conv.weight')?.shape
  const last = tensors.get('conv_final.2.conv.weight')?.shape
  if (first?.length !== 5 || last?.length !== 5) return undefined
  const [initFilters, inChannels] = first as [number, number]
  const blocksDown = blocksOf(tensors, 'down_layers', 1)
  const blocksUp = blocksOf(tensors, 'up_layers', 0)
  // A level may have no blocks: only its sampling tells that it is there.
  while (tensors.has(`up_samples.${blocksUp.length}.0.conv.weight`)) blocksUp.push(0)
  while (tensors.has(`down_layers.${Math.max(1, blocksDown.length)}.0.conv.weight`)) blocksDown.push(0)
  while (blocksDown.length < blocksUp.length + 1) blocksDown.push(0)
  while (blocksUp.length < blocksDown.length - 1) blocksUp.push(1) // to be listed as missing
  if (blocksDown.length > mostLevels || [...blocksDown, ...blocksUp].some(blocks => blocks > mostBlocks))
    return undefined
  const groups = [8, 4, 2, 1].find(count => initFilters % count === 0)!
  return { ...publishedSegresnet, initFilters, inChannels, outChannels: last[0]!, blocksDown, blocksUp, groups }
}

/**
 * ERR_WEIGHTS where a checkpoint says of itself that it was trained with other groups than `network` has: the weights fit
 * both by their shapes, and give other results. `source` says whose they are. Where it says nothing, it passes.
 */
export function checkGroups(network: SegresnetOptions, { facts, trainConf }: Outline, source: string): void {
  const { kind, groups: written } = (facts['network'] ?? {}) as { kind?: unknown; groups?: unknown }
  const groups = kind === network.kind ? written : configuredGroups(trainConf)
  if (typeof groups !== 'number' || groups === network.groups) return
  throw new PipelineError(
    'ERR_WEIGHTS',
    `${source}: expected weights of a network of ${network.groups} groups, found some that were trained with ${groups}; give the network "groups": ${groups}`,
    { expected: network.groups, found: groups },
  )
}

/** How many residual blocks each level has; the first is numbered `first`. */
function blocksOf(tensors: Shapes, name: string, first: number): number[] {
  const counts: number[] = []
  const pattern = new RegExp(`^${name}\\.(\\d{1,3})\\.(\\d{1,3})\\.norm1\\.weight$`)
  for (const key of tensors.keys()) {
    const [, level, block] = pattern.exec(key) ?? []
    if (level === undefined) continue
    while (counts.length <= Number(level)) counts.push(0)
    counts[Number(level)] = Math.max(counts[Number(level)]!, Number(block) + 1 - first)
  }
  return counts
}

/** What a train_conf of Clara's says where it usually stands; other places are for `import` to look into. */
function configuredGroups(trainConf: unknown): unknown {
  const conf = trainConf as { train?: { model?: { args?: { num_groups?: unknown } } } } | null | undefined
  return conf?.train?.model?.args?.num_groups
}
