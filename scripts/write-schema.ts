/** Writes the schemas for editors and other programs: of definitions from the stages, and of an evaluation's report. */

import { writeFileSync } from 'node:fs'
import { definitionSchema } from '../pipeline/definition.ts'
import { reportSchema } from '../schemas/report.ts'

for (const [name, schema] of [
  ['pipeline', definitionSchema()],
  ['report', reportSchema],
] as const)
  writeFileSync(`schemas/${name}.schema.json`, `${JSON.stringify(schema, null, 2)}\n`)
