/** Results as lines for a terminal and as tables for the page. */

import { formatBytes } from '../pipeline/bytes.ts'
import { medianOf } from './statistics.ts'
import { isMissing, type Result } from './trial.ts'

/** Above this share of processor time that others took, people should know. */
const notable = 0.05

export function row(result: Result): string {
  const name = `${result.trial}${result.against && !('pair' in result) ? '' : againstOf(result)}`.padEnd(60)
  if (isMissing(result)) return `${name} ${reasonOf(result)}`
  const { median, min, max, unit, runs } = result
  const figures = `${figure(median).padStart(9)} ${unit.padEnd(8)} ${figure(min)} to ${figure(max)} (${runs} runs)`
  return [`${name} ${figures}`, ...detailsOf(result)].join(', ')
}

/** A table of a bench's results; the first cell of a row can be linked to. */
export function table(results: readonly Result[]): string {
  const header = ['what', 'median', 'from, to', 'runs', 'notes']
  const lines = results.map(result => {
    const link = `<a id="${anchorOf(result)}"></a>${result.trial}${'pair' in result ? againstOf(result) : ''}`
    if (isMissing(result)) return [link, '', '', '', reasonOf(result)]
    const { median, min, max, unit, runs } = result
    return [
      link,
      `${figure(median)} ${unit}`,
      `${figure(min)}, ${figure(max)}`,
      String(runs),
      detailsOf(result).join(', '),
    ]
  })
  return [header, header.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** What a link to the row ends with. */
export function anchorOf(result: Result): string {
  return `${result.trial}${'pair' in result ? againstOf(result) : ''}`.replaceAll(/[^a-z0-9]+/gi, '-')
}

function againstOf({ against }: Result): string {
  return against ? ` against ${against}` : ''
}

function reasonOf(result: Result): string {
  if (!isMissing(result)) return ''
  return result.failed === undefined ? `not measured: ${result.skipped}` : `failed: ${result.failed}`
}

function detailsOf(result: Result): string[] {
  if (isMissing(result)) return []
  if ('pair' in result) {
    const { pair, ofProcessorTime } = result
    const processorTime = ofProcessorTime ? [`${figure(ofProcessorTime.median)} in processor time`] : []
    return [`${pair[0]} over ${pair[1]}`, ...processorTime]
  }
  const { unit, shareOfPeak, necessary = 1, peakBytes, contention, processorSeconds, facts = {} } = result
  return [
    ...(shareOfPeak ? [`${percent(shareOfPeak.median)} of the peak`] : []),
    ...(shareOfPeak && necessary < 0.995
      ? [`${percent(shareOfPeak.median * necessary)} in products that are needed`]
      : []),
    // No loop multiplies faster than the fastest one: a share above 1 says that the probe is not it. A copy is no such
    // limit: work that reads more than it writes, or finds its data in a cache, can pass it.
    ...(shareOfPeak && unit.endsWith('FLOP/s') && shareOfPeak.median * necessary > 1 ? ['THE PROBE IS WRONG'] : []),
    ...(peakBytes === undefined ? [] : [`peak of memory ${formatBytes(peakBytes)}`]),
    ...(processorSeconds ? [`${figure(medianOf(processorSeconds))} s of processor time`] : []),
    ...Object.entries(facts).map(([name, value]) => `${name} ${value}`),
    ...(contention !== undefined && contention > notable
      ? [`others took ${percent(contention)} of its processor time`]
      : []),
  ]
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`
}

/** Three digits. */
function figure(value: number): string {
  if (value > 0 && value < 0.01) return value.toPrecision(3)
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3
  return value.toFixed(digits)
}
