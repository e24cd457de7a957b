/** Whether stages fit together: what one gives, the next must take, and the last must give what the task is for. */

import { stageOf } from '../stages/index.ts'
import type { Flow } from './flow.ts'
import type { StageOptions, Task } from './definition.ts'
import type { Problem } from './problems.ts'

/** What the end of a task's pipeline gives, and the stage that usually gives it. */
const ends: Readonly<Record<Task, { readonly flow: Flow; readonly last: string }>> = {
  train: { flow: 'step', last: 'train' },
  infer: { flow: 'prediction', last: 'save' },
  evaluate: { flow: 'score', last: 'dice' },
}

const words: Readonly<Record<Flow, string>> = {
  case: 'cases (files)',
  volume: 'volumes',
  patch: 'patches',
  batch: 'batches',
  step: 'training steps',
  prediction: 'predictions',
  score: 'scores',
}

export function checkOrder(task: Task, options: readonly StageOptions[]): Problem[] {
  let flow: Flow = 'case'
  for (const [i, { kind }] of options.entries()) {
    const stage = stageOf(kind)
    if (!stage.takes.includes(flow)) {
      const from = i === 0 ? 'the start of the pipeline' : `"${options[i - 1]!.kind}"`
      const wants = stage.takes.map(name => words[name]).join(' or ')
      return [
        {
          path: `/stages/${i}`,
          message: `"${kind}" expects ${wants}, but ${from} gives ${words[flow]}; ${cure(stage.takes, kind)}`,
        },
      ]
    }
    flow = stage.gives
  }
  const wrapping = options.flatMap(({ kind }, i) => (stageOf(kind).wraps ? [i] : []))
  if (wrapping.length > 1) {
    // A case claims its memory once: of two, the inner one would give back what the outer one still needs.
    const kind = options[wrapping[1]!]!.kind
    return [
      { path: `/stages/${wrapping[1]}`, message: `expected one "${kind}", found a second one; keep the later of them` },
    ]
  }
  const end = ends[task]
  if (flow === end.flow) return []
  return [
    {
      path: '/stages',
      message: `a pipeline that is to ${task} must end with ${words[end.flow]} (stage "${end.last}"), this one ends with ${words[flow]} ("${options.at(-1)!.kind}")`,
    },
  ]
}

function cure(takes: readonly Flow[], kind: string): string {
  const makers: Partial<Record<Flow, string>> = { volume: 'load', patch: 'crop', batch: 'batch', prediction: 'infer' }
  const maker = makers[takes[0]!]
  return maker ? `put "${maker}" before "${kind}"` : `"${kind}" must come first`
}
