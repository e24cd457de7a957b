import t from 'tap'
import { distanceFromPublished, isPublished, publishedFilter } from '../../../interop/mmar/published.ts'

function withFilter(
  change: (value: number, i: number) => number,
): Map<string, { shape: number[]; data: Float32Array }> {
  const data = new Float32Array(8 * 27)
  publishedFilter.forEach((value, i) => (data[i] = change(value, i)))
  return new Map([['convInit.conv.weight', { shape: [8, 1, 3, 3, 3], data }]])
}

t.test('the filter is known within the rounding of its figures, and not beyond', async t => {
  t.equal(publishedFilter.length, 27)
  const rounded = withFilter((value, i) => value + (i % 2 === 0 ? 5e-5 : -5e-5))
  t.comment(`largest difference of a rounded filter: ${distanceFromPublished(rounded)}`)
  t.equal(isPublished(rounded), true)
  t.equal(isPublished(withFilter((value, i) => (i === 13 ? value + 1e-4 : value))), false)
  t.equal(isPublished(withFilter((_, i) => publishedFilter[26 - i]!)), false)
  t.equal(isPublished(withFilter(() => NaN)), false)
})

t.test('weights without a first filter are not the published ones', async t => {
  t.equal(isPublished(new Map()), false)
  t.equal(
    distanceFromPublished(new Map([['convInit.conv.weight', { shape: [1], data: new Float32Array(1) }]])),
    undefined,
  )
})
