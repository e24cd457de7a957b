/** Chosen cases for a page: planes with outlines, and scans for the viewer. */

import type { Case, Context, KeySlices } from '../pipeline/stage.ts'
import type { Picture, ViewerCase } from '../report/page/page.ts'

export interface Chosen {
  readonly case: Case
  readonly why: 'worst' | 'median'
  readonly slices: KeySlices
  readonly caption: string
}

export function picturesOf(_chosen: readonly Chosen[], _context: Context): AsyncGenerator<Picture> {
  throw new Error('not there yet')
}

export function viewerCases(_cases: readonly Case[], _context: Context): AsyncGenerator<ViewerCase> {
  throw new Error('not there yet')
}
