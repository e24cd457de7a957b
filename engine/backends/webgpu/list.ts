/** A program: prints the adapters as JSON, for ./survey.ts. */

import { messageOf } from '../../../pipeline/errors.ts'
import { listAdapters } from './adapters.ts'
import type { Survey } from './survey.ts'

const survey: Survey = await listAdapters().then(
  adapters => ({ adapters }),
  (error: unknown) => ({ adapters: [], trouble: messageOf(error) }),
)
process.stdout.write(`\n${JSON.stringify(survey)}\n`)
