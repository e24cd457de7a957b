/** The network's component becomes the network's options. Only SegResNet is known. */

import { checkSegresnet, publishedSegresnet, type SegresnetOptions } from '../../model/segresnet.ts'
import { messageOf, PipelineError } from '../../pipeline/errors.ts'
import { show } from '../../pipeline/problems.ts'
import { Args, described, type Component } from './component.ts'
import { field, isObject, showPlace, type Json, type JsonObject } from './json.ts'
import type { Report } from './report.ts'

/**
 * The options of a SegResNet, by the arguments' names of every MONAI from 0.5 to 1.5. Arguments that are not given have
 * MONAI's defaults. ERR_DEFINITION for another network, and for one that differs in what cannot be chosen here: weights
 * would not fit it.
 */
export function readNetwork(component: Component, report: Report): SegresnetOptions {
  if (component.name !== 'SegResNet') {
    throw refused(component, `expected a SegResNet, found ${show(component.written)}; no other network is known here`)
  }
  const args = new Args(component, report)
  const before = report.lines.length
  args.expect('spatial_dims', [3], 'networks are three-dimensional here')
  args.expect('dimensions', [3], 'networks are three-dimensional here')
  args.expect('use_conv_final', [true], 'the last convolution is always there')
  args.expect('upsample_mode', ['nontrainable', 'UpsampleMode.NONTRAINABLE'], 'up-sampling is trilinear here')
  args.expect('norm_name', ['group', ''], 'norms are group norms here')
  args.expect('act', [...relus], 'activations are ReLU here')
  const dropout = args.number(0, 'dropout_prob')
  const network: SegresnetOptions = {
    ...publishedSegresnet,
    initFilters: args.number(8, 'init_filters'),
    inChannels: args.number(1, 'in_channels'),
    outChannels: args.number(2, 'out_channels'),
    blocksDown: blocks(args, 'blocks_down', publishedSegresnet.blocksDown),
    blocksUp: blocks(args, 'blocks_up', publishedSegresnet.blocksUp),
    groups: groupsOf(args),
    dropout,
  }
  for (const [name, value, least] of [
    ['init_filters', network.initFilters, 1],
    ['in_channels', network.inChannels, 1],
    ['out_channels', network.outChannels, 2],
    ['num_groups', network.groups, 1],
  ] as const) {
    if (!Number.isInteger(value) || value < least || value > mostChannels)
      args.refuse(name, `expected a whole number from ${least} to ${mostChannels}, found ${value}`)
  }
  if (dropout < 0 || dropout >= 1) args.refuse('dropout_prob', `expected a number from 0 to below 1, found ${dropout}`)
  args.done()
  const problems = report.lines.slice(before).filter(({ outcome }) => outcome === 'refused')
  if (problems.length > 0) throw refused(component, problems.map(({ what, text }) => `${what}: ${text}`).join('; '))
  try {
    checkSegresnet(network)
  } catch (error) {
    throw refused(component, messageOf(error))
  }
  const { kind: _, ...options } = network
  report.add('taken', component.at, described(component), `network segresnet ${JSON.stringify(options)}`)
  if (network.inChannels !== 1)
    report.add(
      'refused',
      component.at,
      `in_channels=${network.inChannels}`,
      'scans have one channel here, so this network cannot be fed',
    )
  return network
}

/** Far beyond any network that was trained; what lies beyond would only cost memory. */
const mostChannels = 512
const mostBlocks = 64
const mostLevels = 8

const relus: readonly Json[] = [
  'RELU',
  'relu',
  'ReLU',
  ['RELU', { inplace: true }],
  ['relu', { inplace: true }],
  ['RELU', { inplace: false }],
  ['relu', { inplace: false }],
]

function blocks(args: Args, name: string, fallback: readonly number[]): number[] {
  const value = args.value(name)
  if (value === undefined) return [...fallback]
  const isCount = (item: Json): boolean =>
    Number.isInteger(item) && (item as number) >= 0 && (item as number) <= mostBlocks
  if (Array.isArray(value) && value.length <= mostLevels && value.every(isCount))
    return [...(value as readonly number[])]
  args.refuse(name, `expected at most ${mostLevels} whole numbers from 0 to ${mostBlocks}, found ${show(value)}`)
  return [...fallback]
}

/** "norm_name" and "num_groups" up to MONAI 0.5, "norm" since. */
function groupsOf(args: Args): number {
  const groups = args.number(8, 'num_groups')
  const norm = args.value('norm')
  if (norm === undefined) return groups
  const [name, options] = Array.isArray(norm) ? (norm as readonly Json[]) : [norm, {}]
  const isGroup = typeof name === 'string' && name.toLowerCase() === 'group'
  const number = isObject(options as Json) ? (field(options as JsonObject, 'num_groups') ?? groups) : undefined
  if (isGroup && typeof number === 'number') return number
  args.refuse('norm', `expected ["GROUP", {"num_groups": number}], found ${show(norm)}`)
  return groups
}

function refused(component: Component, why: string): PipelineError {
  return new PipelineError('ERR_DEFINITION', `${showPlace(component.at)}: the network cannot be built here: ${why}`, {
    network: component.written,
  })
}
