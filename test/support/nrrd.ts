/** Reading the little of NRRD that our reference volumes use: gzipped little-endian int16 or uint8, three axes. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'

export interface Nrrd {
  /** In RAS+, whatever the file's space. */
  readonly grid: Grid
  /** (z, y, x), x fastest. */
  readonly voxels: Int16Array | Uint8Array
}

export function readNrrd(path: string): Nrrd {
  const file = readFileSync(path)
  const end = file.indexOf('\n\n')
  const fields = new Map(
    file
      .toString('latin1', 0, end)
      .split('\n')
      .filter(line => line.includes(': '))
      .map(line => line.split(': ') as [string, string]),
  )
  const triples = (name: string): number[][] =>
    [...fields.get(name)!.matchAll(/\(([^)]*)\)/g)].map(([, inside]) => inside!.split(',').map(Number))
  if (fields.get('space') !== 'left-posterior-superior' || fields.get('encoding') !== 'gzip')
    throw new Error(`${path}: no such NRRD was foreseen`)
  const directions = triples('space directions')
  const origin = triples('space origin')[0]!
  const affine = [0, 1, 2].flatMap(axis => {
    const sign = axis === 2 ? 1 : -1
    return [...directions.map(direction => direction[axis]!), origin[axis]!].map(value => sign * value + 0)
  })
  const raw = gunzipSync(file.subarray(end + 2))
  const buffer = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength)
  const isShort = fields.get('type') === 'short'
  if (isShort && fields.get('endian') !== 'little') throw new Error(`${path}: expected little-endian voxels`)
  return {
    grid: { shape: fields.get('sizes')!.split(' ').map(Number) as unknown as Shape3, affine: [...affine, 0, 0, 0, 1] },
    voxels: isShort ? new Int16Array(buffer) : new Uint8Array(buffer),
  }
}
