import t from 'tap'
import { maskOf } from '../../imaging/mask.ts'
import { eachMeeting } from '../../imaging/meeting-runs.ts'
import { rng } from '../../pipeline/random.ts'

t.test('what meets is what voxels have in common', t => {
  const draws = rng(1, 0, 0, 'meeting runs')
  for (let n = 0; n < 200; n++) {
    const density = [0.1, 0.5, 0.9][n % 3]!
    const plane = (): Uint8Array =>
      Uint8Array.from({ length: 7 * 5 }, () => (draws.uniform() < density ? 1 + draws.integer(3) : 0))
    const [a, b] = [plane(), plane()]
    const [ofA, ofB] = [maskOf([7, 5, 1], a).runs(0), maskOf([7, 5, 1], b).runs(0)]
    const pairs: number[][] = []
    const seen = Array.from({ length: 16 }, () => 0)
    eachMeeting(ofA, ofB, (i, j, voxels) => {
      pairs.push([i, j])
      seen[4 * ofA.value[i]! + ofB.value[j]!]! += voxels
    })
    const expected = Array.from({ length: 16 }, () => 0)
    for (const [i, value] of a.entries()) if (value !== 0 && b[i] !== 0) expected[4 * value + b[i]!]! += 1
    t.same(seen, expected)
    t.equal(new Set(pairs.map(String)).size, pairs.length, 'each pair once')
  }
  t.end()
})
