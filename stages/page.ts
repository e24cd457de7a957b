/** The pages of a run. What draws their charts is loaded when one is made: a command would begin 0.3 s later with it. */

import type * as pages from '../report/page/page.ts'

export async function evaluationPage(...given: Parameters<typeof pages.evaluationPage>): Promise<string> {
  return (await import('../report/page/page.ts')).evaluationPage(...given)
}

export async function trainingPage(...given: Parameters<typeof pages.trainingPage>): Promise<string> {
  return (await import('../report/page/page.ts')).trainingPage(...given)
}
