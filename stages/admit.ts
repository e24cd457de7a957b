/** A case's one claim on the run's memory: made by whichever stage pulls its voxels first, released by the last. */

import { codeOf } from '../pipeline/errors.ts'
import type { Claim, Need } from '../pipeline/claims.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Context } from '../pipeline/stage.ts'

const nothing: Need = { bytes: 0, later: 0 }

/**
 * What the case will take; nothing where nobody can tell: a header that cannot be read is for the stage to report that
 * opens it. Rejects with what is a bug.
 */
export async function needOf({ need }: Sample): Promise<Need> {
  if (!need) return nothing
  try {
    return await need()
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return nothing
  }
}

/**
 * Runs `work` on a case that holds its claim, made here where it has none yet; to be called in the order of the cases. A
 * failure releases it; else whoever gets the result does.
 */
export async function admitted<T>(
  sample: Sample,
  { ledger }: Pick<Context, 'ledger'>,
  work: (sample: Sample & { readonly claim: Claim }) => Promise<T>,
): Promise<T> {
  const claim =
    sample.claim ??
    (await ledger.claim(
      sample.case.id,
      needOf(sample).then(({ bytes }) => bytes),
    ))
  try {
    return await work({ ...sample, claim })
  } catch (error) {
    claim.release()
    throw error
  }
}
