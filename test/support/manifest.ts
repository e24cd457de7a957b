/** Lines of manifests. */

import { manifestFormat, type CaseLine, type ManifestHead } from '../../pipeline/manifest.ts'

export function headOf(change: Partial<ManifestHead>): ManifestHead {
  return {
    format: manifestFormat,
    ctflow: '0.1.0',
    definition: 'd',
    model: 'm',
    cases: 3,
    list: 'l',
    shard: null,
    started: '2026-01-01T00:00:00.000Z',
    ...change,
  }
}

export function lineOf(id: string, status: CaseLine['status'], change: Partial<CaseLine> = {}): CaseLine {
  return { case: id, status, seconds: 1, content: 'c', outputs: [], ...change }
}
