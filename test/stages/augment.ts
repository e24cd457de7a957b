import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Grid } from '../../pipeline/grid.ts'
import { apply, augment, draw, drawAsMonai } from '../../stages/augment.ts'
import { numpyChain } from '../support/random-chain.ts'
import { optionsFrom, runStage, sampleWith } from '../support/stage.ts'

const grid: Grid = { shape: [2, 2, 2], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
const volume = (): ReturnType<typeof residentVolume> => residentVolume(grid, Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7))
const patch = sampleWith({ image: volume(), label: volume() })

t.test('flips, turns and the shift do to the voxels what they say', async t => {
  const voxels = (drawn: Parameters<typeof apply>[1]): number[] => [...apply(patch, drawn).image!.resident!]
  t.same(voxels({ flips: ['x'], turns: 0, shift: 0 }), [1, 0, 3, 2, 5, 4, 7, 6])
  t.same(voxels({ flips: ['y'], turns: 0, shift: 0 }), [2, 3, 0, 1, 6, 7, 4, 5])
  t.same(voxels({ flips: ['z'], turns: 0, shift: 0 }), [4, 5, 6, 7, 0, 1, 2, 3])
  t.same(voxels({ flips: [], turns: 2, shift: 0 }), [3, 2, 1, 0, 7, 6, 5, 4])
  const shifted = apply(patch, { flips: [], turns: 0, shift: 0.5 })
  t.same([...shifted.image!.resident!], [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5])
  t.same([...shifted.label!.resident!], [0, 1, 2, 3, 4, 5, 6, 7], 'the label is not shifted')
  t.same([...patch.image!.resident!], [0, 1, 2, 3, 4, 5, 6, 7], 'the sample it got is left alone')
})

t.test('image and label move together, and what was drawn stays on the sample', async t => {
  const json = {
    kind: 'augment',
    flip: { probability: 0.5 },
    rotate90: { probability: 0.5 },
    shiftIntensity: { probability: 0 },
  }
  const samples = Array.from({ length: 40 }, (_, i) => ({ ...patch, patch: i }))
  for (const out of await runStage(augment, json, samples)) {
    t.same(out.image!.resident, out.label!.resident)
    t.match(out.draws, { augment: { flips: Array, turns: Number, shift: 0 } })
  }
})

t.test('each change comes about as often as its probability says', async t => {
  const options = optionsFrom(augment, { kind: 'augment' }) as Parameters<typeof draw>[1]
  const draws = Array.from({ length: 4000 }, (_, i) => draw(rng(1, 0, i, 'augment'), options))
  const share = (test: (drawn: (typeof draws)[number]) => boolean): number => draws.filter(test).length / draws.length
  for (const axis of ['x', 'y', 'z'] as const)
    t.ok(Math.abs(share(({ flips }) => flips.includes(axis)) - 0.1) < 0.02, `flip ${axis}`)
  t.ok(Math.abs(share(({ turns }) => turns > 0) - 0.1) < 0.02, 'turns')
  t.ok(Math.abs(share(({ shift }) => shift !== 0) - 0.5) < 0.03, 'shifts')
  t.ok(draws.every(({ turns, shift }) => turns <= 3 && Math.abs(shift) <= 0.1))
})

t.test('counter draws are those of earlier versions', async t => {
  const options = {
    kind: 'augment',
    flip: { probability: 0.5, axes: ['z', 'x'] },
    rotate90: { probability: 0.5, maxTurns: 3 },
    shiftIntensity: { probability: 0.5, offset: 0.1 },
  } as const
  t.same(
    [0, 1, 2, 3].map(patch => draw(rng(5, 1, 2, 'augment', patch), optionsFrom(augment, options))),
    [
      { flips: [], turns: 2, shift: -0.01094450303930119 },
      { flips: ['x'], turns: 0, shift: 0 },
      { flips: ['x', 'z'], turns: 1, shift: 0 },
      { flips: ['z'], turns: 1, shift: -0.07745516966467772 },
    ],
  )
})

/** MONAI's names of the transforms that these options stand for. */
const asked = (json: object): string[] => {
  const names: string[] = []
  drawAsMonai(optionsFrom(augment, { kind: 'augment', ...json }), name => names.push(name))
  return names
}

t.test('in numpy mode each transform that can happen asks for a seed, in MONAI’s order', async t => {
  t.same(asked({}), ['RandFlipd x', 'RandFlipd y', 'RandFlipd z', 'RandRotate90d', 'RandShiftIntensityd'])
  t.same(asked({ flip: { axes: ['z', 'x'] } }).slice(0, 2), ['RandFlipd z', 'RandFlipd x'])
  t.same(asked({ flip: { probability: 0 }, rotate90: { probability: 0 } }), ['RandShiftIntensityd'])
  t.same(asked({ flip: { axes: [] }, shiftIntensity: { probability: 0 } }), ['RandRotate90d'])
})

t.test('in numpy mode the state runs on over calls, and two stages keep both draws', async t => {
  const shift = {
    kind: 'augment',
    flip: { probability: 0 },
    rotate90: { probability: 0 },
    shiftIntensity: { probability: 1 },
  }
  const whole = await numpyChain([shift, shift], 1)([patch, patch, patch])
  t.equal(new Set(whole.map(({ draws }) => JSON.stringify(draws))).size, 3)
  const chain = numpyChain([shift, shift], 1)
  const parts = [...(await chain([patch])), ...(await chain([patch, patch]))]
  t.same(
    parts.map(({ draws }) => draws),
    whole.map(({ draws }) => draws),
  )
  for (const { draws, image } of whole) {
    const [first, second] = [draws['augment'], draws['augment 2']] as { shift: number }[]
    t.not(first!.shift, second!.shift)
    t.equal(image!.resident![0], Math.fround(first!.shift + second!.shift))
    t.comment(JSON.stringify(draws))
  }
})
