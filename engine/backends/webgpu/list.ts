/** A program: prints the adapters as JSON, for ./survey.ts. */

import { Worker } from 'node:worker_threads'
import { messageOf } from '../../../pipeline/errors.ts'
import { listAdapters } from './adapters.ts'
import type { Survey } from './adapters.ts'

// Should a driver hang and whoever asked be gone: this thread still runs then.
const watch = `setTimeout(() => process.kill(process.pid, 'SIGKILL'), 25_000)`
new Worker(watch, { eval: true }).unref()

const survey: Survey = await listAdapters().then(
  adapters => ({ adapters }),
  (error: unknown) => ({ adapters: [], trouble: messageOf(error) }),
)
process.stdout.write(`\n${JSON.stringify(survey)}\n`)
