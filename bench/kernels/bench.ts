/** Every kernel at every shape of the network with 8 and with 16 filters, in one process, between probes of the machine. */

import { sizeOf } from '../../model/parameters.ts'
import { segresnetParameters } from '../../model/segresnet.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import type { Bench, Trial } from '../trial.ts'
import { convolutionCases } from './convolutions.ts'
import { kernelTrial, Memory, type KernelCase } from './kernel-trial.ts'
import { convolutionsOf, networkWith, sizeOfLevel } from './layers.ts'
import { adamCase, headCases, levelCases, upsampleCases } from './passes.ts'

/** The published network's patch, x, y, z. */
const patch: Shape3 = [224, 224, 32]

function casesOf(initFilters: number): KernelCase[] {
  const network = networkWith(initFilters)
  const levels = network.blocksDown.map((_, level) => ({
    size: sizeOfLevel(patch, level),
    channels: initFilters * 2 ** level,
  }))
  const parameters = segresnetParameters(network).reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  return [
    ...convolutionsOf(network, patch).flatMap(convolutionCases),
    ...levels.flatMap(level => levelCases(level, network.groups)),
    ...levels.slice(0, -1).flatMap(upsampleCases),
    ...headCases({ size: sizeOfLevel(patch, 0), channels: network.outChannels }),
    adamCase(parameters),
  ]
}

/** A shape that both networks have is measured once; the larger network first, since it needs the larger arrays. */
function trials(): Trial[] {
  const cases = new Map([16, 8].flatMap(casesOf).map(kernel => [kernel.name, kernel]))
  const memory = new Memory()
  return [...cases.values()].map(kernel => kernelTrial(kernel, memory))
}

export const bench: Bench = { trials: trials(), interleaved: true }
