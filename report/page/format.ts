/** Figures as text: the same in every place, whatever the machine's language and time zone. */

import type { Figure, Report } from '../../schemas/report.ts'
import { numberOf } from '../figure.ts'

/** What stands for a figure that is not defined. */
export const undefinedMark = '–'

/** How many digits a metric's values have behind the point. */
export function digitsOf(report: Report, metric: string): number {
  if (isCount(metric)) return 0
  const unit = report.metrics[metric]?.unit ?? ''
  return unit === '' ? 3 : unit === 'mm' ? 2 : 1
}

/** Of voxels or lesions; its values are whole. */
function isCount(metric: string): boolean {
  return /(voxels|^lesions|predictedLesions)(_class\d+)?$/i.test(metric)
}

/** A volume without its unit: below 1 ml to the mm³, and what is less still does not read as nothing. */
export function millilitres(ml: number | null): string {
  const size = Math.abs(ml ?? 0)
  if (size === 0 || size >= 1 || Number.isNaN(size)) return fixed(ml, 1)
  return fixed(ml, Math.min(9, Math.max(3, Math.ceil(-Math.log10(size)))))
}

/** A case's figure. */
export function figureText(report: Report, metric: string, figure: Figure | undefined): string {
  if (report.metrics[metric]?.unit === 'ml') return millilitres(numberOf(figure))
  return fixed(numberOf(figure), digitsOf(report, metric))
}

/** A figure over cases: a mean of counts has a digit more than a count. */
export function summaryText(report: Report, metric: string, figure: Figure | undefined): string {
  const value = numberOf(figure)
  if (report.metrics[metric]?.unit === 'ml') return millilitres(value)
  const digits = digitsOf(report, metric)
  return fixed(value, digits > 0 || Math.abs(value ?? 0) >= 1000 ? digits : 1)
}

/** The same with its sign. */
export function changeText(report: Report, metric: string, figure: Figure | undefined): string {
  const text = summaryText(report, metric, figure)
  return (numberOf(figure) ?? 0) > 0 && /[1-9∞]/.test(text) ? `+${text}` : text
}

/** "low to high", or nothing where either is not defined. */
export function intervalText(report: Report, metric: string, { low, high }: { low: Figure; high: Figure }): string {
  if (low === null || high === null) return ''
  return `${summaryText(report, metric, low)} to ${summaryText(report, metric, high)}`
}

/** A number with so many digits behind the point, thousands apart; null and NaN are not defined. */
export function fixed(value: number | null, digits: number): string {
  if (value === null || Number.isNaN(value)) return undefinedMark
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞'
  const [whole, rest] = Math.abs(value).toFixed(digits).split('.') as [string, string?]
  // Above 1e21 there is an exponent.
  const grouped = /^\d+$/.test(whole) ? whole.replace(/\B(?=(\d{3})+$)/g, '\u202f') : whole
  const text = rest === undefined ? grouped : `${grouped}.${rest}`
  return value < 0 && /[1-9]/.test(text) ? `−${text}` : text
}

/** A number with so many significant digits. */
export function significant(value: number, digits: number): string {
  return String(+value.toPrecision(digits)).replace('-', '−')
}

/** How likely a difference is by chance. */
export function probabilityText(p: Figure): string {
  const value = numberOf(p)
  if (value === null) return 'p not defined'
  return value < 0.001 ? 'p\u00a0<\u00a00.001' : `p\u00a0=\u00a0${value.toFixed(3)}`
}

/** "1 case", "2 cases". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${fixed(count, 0)} ${count === 1 ? one : many}`
}

/** ISO 8601 as "2026-11-29 19:36 UTC"; what is no date stays as it is. */
export function dateText(iso: string): string {
  const time = Date.parse(iso)
  if (Number.isNaN(time)) return iso
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** The day of it. */
export function dayText(iso: string): string {
  return dateText(iso).slice(0, 10)
}

export function bytesText(bytes: number): string {
  if (bytes < 1 << 20) return `${fixed(bytes / 1024, 0)} KiB`
  return bytes < 1 << 30 ? `${fixed(bytes / 2 ** 20, 0)} MiB` : `${fixed(bytes / 2 ** 30, 2)} GiB`
}

export function secondsText(seconds: number): string {
  if (seconds < 120) return `${fixed(seconds, 1)} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
