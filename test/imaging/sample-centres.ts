import t from 'tap'
import { correctedCentre, cropStart, drawPicks } from '../../imaging/sample-centres.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'

t.test('centres move inwards until the crop fits', async t => {
  t.same(correctedCentre([0, 0, 0], [4, 3, 2], [10, 10, 10]), [2, 1, 1])
  t.same(correctedCentre([9, 9, 9], [4, 3, 2], [10, 10, 10]), [8, 8, 9])
  t.same(cropStart([8, 8, 9], [4, 3, 2]), [6, 7, 8])
  t.same(correctedCentre([5, 5, 5], [10, 10, 10], [10, 10, 10]), [5, 5, 5])
  for (let n = 1; n < 12; n++) {
    for (let size = 1; size <= n; size++) {
      for (let at = 0; at < n; at++) {
        const [start] = cropStart(correctedCentre([at, 0, 0], [size, 1, 1], [n, 1, 1]), [size, 1, 1])
        if (start < 0 || start + size > n) t.fail(`a crop of ${size} at ${at} of ${n} starts at ${start}`)
      }
    }
  }
})

const draws = (): Rng => rng(1, 0, 0, 'crop')

t.test('the kinds are drawn in their shares, and replace each other', async t => {
  const shape: Shape3 = [6, 5, 4]
  const options = { size: [2, 2, 2] as Shape3, samples: 2000, pos: 3, neg: 1 }
  const picks = drawPicks({ foreground: 6, background: 70 }, shape, options, draws())
  const share = picks.filter(({ kind }) => kind === 'foreground').length / 2000
  t.ok(Math.abs(share - 0.75) < 0.05, `${share} of the centres on foreground`)
  t.same(new Set(picks.filter(({ kind }) => kind === 'foreground').map(({ k }) => k)), new Set([0, 1, 2, 3, 4, 5]))
  const onlyBackground = drawPicks({ foreground: 0, background: 70 }, shape, { ...options, pos: 1, neg: 0 }, draws())
  t.ok(onlyBackground.every(({ kind, k }) => kind === 'background' && k < 70))
  const onlyForeground = drawPicks({ foreground: 6, background: 0 }, shape, { ...options, pos: 0, neg: 1 }, draws())
  t.ok(onlyForeground.every(({ kind, k }) => kind === 'foreground' && k < 6))
  t.throws(() => drawPicks({ foreground: 0, background: 0 }, shape, options, draws()), {
    code: 'ERR_VOLUME',
    message: /found none/,
  })
  t.throws(() => drawPicks({ foreground: 6, background: 70 }, shape, { ...options, size: [7, 2, 2] }, draws()), {
    code: 'ERR_VOLUME',
    message: /pad first/,
  })
})
