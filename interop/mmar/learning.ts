/** Loss, optimiser and schedule: one row each for what the stage "train" has. */

import { show } from '../../pipeline/problems.ts'
import { Args, described, type Component } from './component.ts'
import type { Json, JsonObject } from './json.ts'
import type { Report } from './report.ts'

type Row = (args: Args) => JsonObject | undefined

/** Options of "train": `undefined` where the stage's default stands in, which the report says. */
function read(
  table: ReadonlyMap<string, Row>,
  component: Component,
  report: Report,
  standsIn: string,
): JsonObject | undefined {
  const args = new Args(component, report)
  const row = table.get(component.name)
  if (!row) {
    const known = [...table.keys()].join(', ')
    args.reject(
      `not available here, where there is ${known}; ${standsIn}, which learns differently: choose before you train`,
    )
    return undefined
  }
  const options = row(args)
  if (options) {
    args.done()
    report.add('taken', component.at, described(component), JSON.stringify(options))
  }
  return options
}

function dice(args: Args, weights: JsonObject): JsonObject | undefined {
  if (args.boolean(false, 'sigmoid')) {
    args.reject('sigmoid=true; classes exclude each other here (soft-max), and dice-ce with soft-max stands in')
    return undefined
  }
  args.expect('softmax', [true], 'the loss takes logits here and applies soft-max')
  args.expect('to_onehot_y', [true], 'labels are class indices here')
  if (args.value('softmax') === undefined) args.refuse('softmax', 'not set; soft-max is always applied here')
  args.expect('other_act', [], 'soft-max is the activation here')
  args.expect('reduction', ['mean', 'LossReduction.MEAN'], 'the mean is taken here')
  for (const name of ['ce_weight', 'weight']) args.expect(name, [], 'classes weigh the same here')
  args.expect('label_smoothing', [0], 'labels are not smoothed here')
  return {
    kind: 'dice-ce',
    squaredPred: args.boolean(false, 'squared_pred'),
    includeBackground: args.boolean(true, 'include_background'),
    jaccard: args.boolean(false, 'jaccard'),
    batch: args.boolean(false, 'batch'),
    smoothNr: args.number(1e-5, 'smooth_nr'),
    smoothDr: args.number(1e-5, 'smooth_dr'),
    ...weights,
  }
}

const losses: ReadonlyMap<string, Row> = new Map<string, Row>([
  [
    'DiceCELoss',
    args => dice(args, { lambdaDice: args.number(1, 'lambda_dice'), lambdaCe: args.number(1, 'lambda_ce') }),
  ],
  ['DiceLoss', args => dice(args, { lambdaDice: 1, lambdaCe: 0 })],
])

function adam(args: Args, decay: number): JsonObject {
  const betas = args.value('betas')
  const [beta1, beta2] = Array.isArray(betas) ? (betas as readonly Json[]) : [0.9, 0.999]
  if (betas !== undefined && (!Array.isArray(betas) || betas.length !== 2))
    args.refuse('betas', `expected two numbers, found ${show(betas)}`)
  args.expect('amsgrad', [false], 'Adam has no AMSGrad here')
  args.expect('maximize', [false], 'losses are minimised here')
  args.skip('foreach', 'fused', 'capturable', 'differentiable', 'params')
  return {
    kind: 'adam',
    learningRate: args.number(1e-3, 'lr'),
    beta1: typeof beta1 === 'number' ? beta1 : 0.9,
    beta2: typeof beta2 === 'number' ? beta2 : 0.999,
    epsilon: args.number(1e-8, 'eps'),
    weightDecay: args.number(decay, 'weight_decay'),
  }
}

const optimizers: ReadonlyMap<string, Row> = new Map<string, Row>([['Adam', args => adam(args, 0)]])

/** What all schedules of PyTorch take beside their own. */
function scheduled(args: Args, options: JsonObject): JsonObject {
  args.expect('last_epoch', [-1], 'a schedule begins with the first epoch here')
  args.skip('verbose', 'optimizer')
  return options
}

const schedules: ReadonlyMap<string, Row> = new Map<string, Row>([
  [
    'StepLR',
    args => scheduled(args, { kind: 'step', stepSize: args.number(1, 'step_size'), gamma: args.number(0.1, 'gamma') }),
  ],
  [
    'CosineAnnealingLR',
    args => scheduled(args, { kind: 'cosine', epochs: args.number(1, 'T_max'), min: args.number(0, 'eta_min') }),
  ],
  [
    'PolynomialLR',
    args =>
      scheduled(args, { kind: 'polynomial', epochs: args.number(5, 'total_iters'), power: args.number(1, 'power') }),
  ],
])

export function readLoss(component: Component, report: Report): JsonObject | undefined {
  return read(losses, component, report, 'dice-ce with its defaults stands in')
}

/** An optimiser that is not available leaves its learning rate to Adam, so that one number less is lost. */
export function readOptimizer(component: Component, report: Report): JsonObject | undefined {
  const options = read(optimizers, component, report, 'Adam with the same learning rate stands in')
  const rate = component.args['lr']
  return options ?? (typeof rate === 'number' ? { kind: 'adam', learningRate: rate } : undefined)
}

export function readSchedule(component: Component, report: Report): JsonObject | undefined {
  return read(schedules, component, report, 'a constant rate stands in')
}
