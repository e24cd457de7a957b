/** Writes schemas/pipeline.schema.json from the stages, for editors. */

import { writeFileSync } from 'node:fs'
import { definitionSchema } from '../pipeline/definition.ts'

writeFileSync('schemas/pipeline.schema.json', `${JSON.stringify(definitionSchema(), null, 2)}\n`)
