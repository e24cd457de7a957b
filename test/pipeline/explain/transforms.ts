import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDefinition } from '../../../pipeline/definition.ts'
import { transformsOf } from '../../../pipeline/explain/transforms.ts'
import { stageOf, stages as all } from '../../../stages/index.ts'
import { projectRoot } from '../../support/shared.ts'
import { optionsFrom } from '../../support/stage.ts'

const folder = join(projectRoot, 'fixtures/pipelines')

function of(json: { kind: string; [name: string]: unknown }): object {
  return transformsOf([optionsFrom(stageOf(json.kind) as never, json)], 'counter')[0]!
}

t.test('every stage says which highland transform it is', t => {
  for (const stage of all) {
    for (const example of stage.schema.examples) {
      const options = optionsFrom(stage, example)
      const [transform] = transformsOf([options], 'counter')
      t.ok(transform!.operators.length > 0, `${transform!.kind}: ${transform!.operators.join(' ')}`)
      t.match(transform, { kind: stage.schema.properties.kind.const, takes: stage.takes, gives: stage.gives })
    }
  }
  t.end()
})

t.test('numbers are those of the options', t => {
  t.match(of({ kind: 'load', parallel: 7 }), { operators: ['ahead(7)'], parallel: 7, wraps: false })
  t.match(of({ kind: 'cache', parallel: 3 }), { operators: ['ahead(3)'], parallel: 3, wraps: true })
  t.match(of({ kind: 'clip' }), { operators: ['map'], parallel: 0, lifted: 'one in, one out, at once' })
  t.match(of({ kind: 'batch', size: 5 }), { operators: ['batch(5)', 'map'], lifted: '5 in, one out, at once' })
  t.match(of({ kind: 'crop', parallel: 2 }), {
    operators: ['ahead(2)', 'map', 'ahead(2)', 'flatMap'],
    parallel: 4,
    random: true,
    lifted: 'one in, several out, 2 ahead, in order',
  })
  t.end()
})

t.test('so do those of the definitions that come along', t => {
  for (const file of readdirSync(folder).filter(name => name.endsWith('.json'))) {
    const { stages, random } = loadDefinition(join(folder, file))
    const transforms = transformsOf(stages, random)
    t.same(
      transforms.map(({ kind }) => kind),
      stages.map(({ kind }) => kind),
      file,
    )
    t.ok(transforms.every(({ operators }) => operators.length > 0))
  }
  t.end()
})
