/** The data set of a definition, looked at for what else the definition says of it. */

import { openDataSet, sectionsOf, type DataSet } from './data-set.ts'
import { comparesMasks, type Definition } from './definition.ts'
import { PipelineError } from './errors.ts'
import { suggestion } from './problems.ts'

/** Throws ERR_DATASET as `openDataSet` does, and where the report is to group by a field that no case has. */
export async function openCases(definition: Definition): Promise<DataSet> {
  const { task, dataset, output } = definition
  const dataSet = await openDataSet(task, dataset, output, comparesMasks(definition))
  if (task === 'evaluate') refuseUnknownFields(definition, dataSet)
  return dataSet
}

function refuseUnknownFields({ dataset, report: { strata } }: Definition, { name, section }: DataSet): void {
  const first = sectionsOf('evaluate', dataset)[0]!
  const known = new Set(section(first).flatMap(({ fields }) => Object.keys(fields ?? {})))
  const at = strata.findIndex(field => !known.has(field))
  if (at < 0) return
  const advice =
    known.size === 0 ? 'no entry has a field beside its paths; leave "strata" out' : suggestion(strata[at]!, [...known])
  throw new PipelineError(
    'ERR_DATASET',
    `/report/strata/${at}: ${name}: no case of the section "${first}" has a field "${strata[at]}"; ${advice}`,
    { field: strata[at] },
  )
}
