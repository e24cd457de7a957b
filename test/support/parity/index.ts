/** All checks, in the order of the chain. A new one is a line in its subject's list; a new subject is a line here. */

import type { Check } from './check.ts'
import { checkpointChecks } from './checkpoints.ts'
import { exportChecks } from './exports.ts'
import { metricChecks } from './metrics.ts'
import { networkChecks } from './network.ts'
import { readingChecks } from './reading.ts'
import { transformChecks } from './transforms.ts'
import { windowChecks } from './windows.ts'

export const checks: readonly Check[] = [
  ...readingChecks,
  ...transformChecks,
  ...networkChecks,
  ...windowChecks,
  ...metricChecks,
  ...checkpointChecks,
  ...exportChecks,
]

export { describe, findings, type Check, type Finding } from './check.ts'
export { References, referencesIn } from './references.ts'
