/** Figures as reports hold them, and as numbers. */

import type { Figure } from '../schemas/report.ts'

/** null where a figure is not defined or not there. */
export function numberOf(figure: Figure | undefined): number | null {
  if (figure === 'inf') return Infinity
  if (figure === '-inf') return -Infinity
  return figure === undefined || Number.isNaN(figure) ? null : figure
}

/** The text "inf" for an infinity, null for what is not defined (NaN too). */
export function figureOf(value: number | null | undefined): Figure {
  if (value === Infinity) return 'inf'
  if (value === -Infinity) return '-inf'
  return value === undefined || Number.isNaN(value) ? null : value
}
