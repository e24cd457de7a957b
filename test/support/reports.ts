/** Small evaluations. */

import type { Score } from '../../pipeline/flow.ts'
import type { ReportInput } from '../../report/make-report.ts'

/** What a test says of a case; the rest is made up. */
export type Described = Partial<Omit<Score, 'case'>> & { readonly fields?: Readonly<Record<string, string>> }

/** Scores in the order of `cases`, which is the data set's. */
export function scoresOf(cases: Readonly<Record<string, Described>>): Score[] {
  return Object.entries(cases).map(([id, { fields, ...score }], index) => ({
    metrics: {},
    ...score,
    case: { id, index, label: `/labels/${id}.nii.gz`, ...(fields && { fields }) },
  }))
}

export function reportInput(scores: readonly Score[], changed: Partial<ReportInput> = {}): ReportInput {
  return {
    id: '2026-01-02T03-04-05Z',
    title: 'Phantoms',
    created: '2026-01-02T03:04:05.000Z',
    run: {
      ctflow: '0.1.0',
      definition: 'd'.repeat(64),
      model: null,
      seed: 7,
      engine: null,
      seconds: 12.5,
      peakRssBytes: 3e8,
    },
    data: {
      name: 'phantoms',
      hash: 'a'.repeat(64),
      cases: scores.length,
      missing: scores.filter(({ isMissing }) => isMissing).map(one => one.case.id),
    },
    emptyRule: 'strict',
    failures: [],
    scores,
    options: { strata: [], volumesMl: [0, 1, 10, 100], bootstrap: 200, seed: 7 },
    gates: {},
    history: [],
    pause: () => Promise.resolve(),
    ...changed,
  }
}
