/** What the cases of a flow will claim, told from their headers, once each. */

import type { StageOptions } from './definition.ts'
import { needOf, planCase, type PlanFacts } from './plan.ts'
import type { Need } from './claims.ts'
import type { Case } from './flow.ts'

/** For each case of a flow of these stages, how to ask what it needs; rejects with the case's error. */
export function needsOf(stages: readonly StageOptions[], facts: PlanFacts): (found: Case) => () => Promise<Need> {
  const told = new Map<string, Promise<Need>>()
  return found => () => {
    let need = told.get(found.id)
    if (!need) {
      need = planCase(stages, found, facts).then(plans => needOf(stages, plans, facts))
      told.set(found.id, need)
      // A header that cannot be read now may be there in the next epoch.
      need.catch(() => told.delete(found.id))
    }
    return need
  }
}
