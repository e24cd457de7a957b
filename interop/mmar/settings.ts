/** How a configuration runs: precision, seed, devices, and the loop of an evaluator. */

import { show } from '../../pipeline/problems.ts'
import { Args } from './component.ts'
import { field, isObject, placeIn, type JsonFile, type JsonObject } from './json.ts'
import type { Report } from './report.ts'
import type { Section } from './section.ts'

/** Mixed precision is a matter of speed; what it computes less exactly is computed exactly here. */
export function readAmp(args: Args): void {
  if (args.boolean(false, 'amp')) args.say('replaced', 'amp=true: float32 throughout, which rounds less')
}

export function readEvaluator(section: Section): void {
  const component = section.component('evaluator')
  if (!component) return
  const args = new Args(component, section.report)
  if (component.name !== 'SupervisedEvaluator') {
    args.reject('not known here; the loop is that of a SupervisedEvaluator')
    return
  }
  args.skip(
    'val_data_loader',
    'network',
    'inferer',
    'val_handlers',
    'postprocessing',
    'key_val_metric',
    'additional_metrics',
  )
  args.skip('device', 'non_blocking', 'mode', 'prepare_batch', 'iteration_update')
  readAmp(args)
  args.say('taken', 'case by case, without gradients')
  args.done()
}

/** Settings of the first level that say how the program runs. */
export function readSettings(file: JsonFile, root: JsonObject, report: Report): void {
  const at = (name: string): ReturnType<typeof placeIn> => placeIn(file, `/${name}`)
  if (field(root, 'multi_gpu') === true)
    report.add(
      'replaced',
      at('multi_gpu'),
      'multi_gpu=true',
      'one process: a step has the patches of one GPU, where there are that many times the number of GPUs',
    )
  for (const name of ['use_gpu', 'tf32', 'cudnn_benchmark']) {
    if (field(root, name) !== undefined)
      report.add('unneeded', at(name), `${name}=${show(field(root, name))}`, '"engine" says where it is computed')
  }
}

export function readSeed(file: JsonFile, root: JsonObject, report: Report): number | undefined {
  const determinism = field(root, 'determinism')
  if (determinism === undefined) return undefined
  const at = placeIn(file, '/determinism')
  const seed = isObject(determinism) ? field(determinism, 'random_seed') : undefined
  if (typeof seed !== 'number' || !Number.isSafeInteger(seed) || seed < 0) {
    report.add('refused', at, show(determinism), 'expected {"random_seed": a whole number from 0}')
    return undefined
  }
  report.add(
    'replaced',
    at,
    `random_seed=${seed}`,
    `seed = ${seed}: the same bytes in every run, but other draws than PyTorch's`,
  )
  return seed
}
