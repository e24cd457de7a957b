import t from 'tap'
import { candidatesOf, correctedCentre, cropStart, drawCentres } from '../../imaging/sample-centres.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'

const shape: Shape3 = [6, 5, 4]
const label = volumeOf(gridOf(shape), (x, y, z) => (x > 3 && y > 1 && z === 2 ? 1 : 0)).resident!
const image = volumeOf(gridOf(shape), (x, y, z) => (x + y + z) % 3).resident!

t.test('candidates are numbered with x slowest and z fastest', async t => {
  const [foreground, background]: [Shape3[], Shape3[]] = [[], []]
  for (let x = 0; x < 6; x++) {
    for (let y = 0; y < 5; y++) {
      for (let z = 0; z < 4; z++) {
        const at = (z * 5 + y) * 6 + x
        if (label[at] !== 0) foreground.push([x, y, z])
        else if (image[at]! > 0) background.push([x, y, z])
      }
    }
  }
  const candidates = await candidatesOf(label, image, shape)
  t.equal(candidates.foreground, foreground.length)
  t.equal(candidates.background, background.length)
  t.same(
    foreground.map((_, k) => candidates.pick('foreground', k)),
    foreground,
  )
  t.same(
    background.map((_, k) => candidates.pick('background', k)),
    background,
  )
  t.throws(() => candidates.pick('foreground', foreground.length), RangeError)
  t.equal(
    (await candidatesOf(label, undefined, shape)).background,
    label.length - foreground.length,
    'without an image all else is background',
  )
})

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

t.test('the kinds are drawn in their shares, and replace each other', async t => {
  const options = { size: [2, 2, 2] as Shape3, samples: 2000, pos: 3, neg: 1 }
  const candidates = await candidatesOf(label, image, shape)
  const kinds: string[] = []
  const counting = {
    ...candidates,
    pick: (kind: 'foreground' | 'background', k: number): Shape3 => (kinds.push(kind), candidates.pick(kind, k)),
  }
  drawCentres(counting, shape, options, rng(1, 0, 0, 'crop'))
  const share = kinds.filter(kind => kind === 'foreground').length / 2000
  t.ok(Math.abs(share - 0.75) < 0.05, `${share} of the centres on foreground`)
  const none = new Float32Array(label.length)
  const onlyBackground = drawCentres(
    await candidatesOf(none, image, shape),
    shape,
    { ...options, pos: 1, neg: 0 },
    rng(1, 0, 0, 'crop'),
  )
  t.equal(onlyBackground.length, 2000)
  const neither = await candidatesOf(none, none, shape)
  t.throws(() => drawCentres(neither, shape, options, rng(1, 0, 0, 'crop')), {
    code: 'ERR_VOLUME',
    message: /found none/,
  })
  t.throws(() => drawCentres(candidates, shape, { ...options, size: [7, 2, 2] }, rng(1, 0, 0, 'crop')), {
    code: 'ERR_VOLUME',
    message: /pad first/,
  })
})
