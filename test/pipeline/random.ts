import t from 'tap'
import { philox4x32, rng, shuffled } from '../../pipeline/random.ts'

const hex = (words: number[]): string => words.map(word => word.toString(16).padStart(8, '0')).join(' ')

t.test('Philox gives the known answers of Random123', async t => {
  // kat_vectors of Random123, philox4x32 with 10 rounds.
  t.equal(hex(philox4x32([0, 0, 0, 0], [0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  const ones = 0xffffffff
  t.equal(hex(philox4x32([ones, ones, ones, ones], [ones, ones])), '408f276d 41c83b0e a20bc7c6 6d5451fd')
  t.equal(
    hex(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])),
    'd16cfe09 94fdcceb 5001e420 24126ea1',
  )
})

t.test('a coordinate gives the same draws whatever was drawn elsewhere', async t => {
  const first = rng(7, 3, 11, 'crop')
  const draws = [first.uniform(), first.uniform(), first.uniform()]
  rng(7, 3, 12, 'crop').uniform()
  const again = rng(7, 3, 11, 'crop')
  t.same([again.uniform(), again.uniform(), again.uniform()], draws)
})

t.test('each coordinate matters', async t => {
  const values = [
    rng(7, 3, 11, 'crop'),
    rng(8, 3, 11, 'crop'),
    rng(7, 4, 11, 'crop'),
    rng(7, 3, 12, 'crop'),
    rng(7, 3, 11, 'flip'),
    rng(7, 3, 11, 'crop', 1),
    rng(7 + 2 ** 32, 3, 11, 'crop'),
  ]
  t.equal(new Set(values.map(random => random.uniform())).size, values.length)
})

t.test('draws are uniform and integers stay in range', async t => {
  const random = rng(1, 0, 0, 'test')
  const counts = Array.from({ length: 10 }, () => 0)
  let sum = 0
  for (let i = 0; i < 20000; i++) {
    counts[random.integer(10)]! += 1
    sum += random.uniform()
  }
  t.ok(
    counts.every(count => Math.abs(count - 2000) < 200),
    `counts ${counts.join(' ')}`,
  )
  t.ok(Math.abs(sum / 20000 - 0.5) < 0.01)
})

t.test('an order is a permutation, another one in another epoch', async t => {
  const order = shuffled(50, 1, 0)
  t.same(
    order.toSorted((a, b) => a - b),
    Array.from({ length: 50 }, (_, i) => i),
  )
  t.notSame(order, shuffled(50, 1, 1))
  t.same(order, shuffled(50, 1, 0))
})
