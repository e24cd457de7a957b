import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Grid } from '../../pipeline/stage.ts'
import { apply, augment, draw } from '../../stages/augment.ts'
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
