import t from 'tap'
import { contours } from '../../report/contour.ts'

const maskOf = (...rows: string[]): [Uint8Array, number, number] => [
  Uint8Array.from(rows.join(''), mark => Number(mark === '#')),
  rows[0]!.length,
  rows.length,
]

t.test('a pixel has a border of four steps, clockwise from its top', t => {
  t.same(contours(...maskOf('...', '.#.', '...')), [
    [
      { inside: 4, outside: 1 },
      { inside: 4, outside: 5 },
      { inside: 4, outside: 7 },
      { inside: 4, outside: 3 },
    ],
  ])
  t.end()
})

t.test('the picture is not left, and holes have borders of their own', t => {
  const found = contours(...maskOf('####', '#..#', '####'))
  t.same(
    found.map(border => border.length),
    [14, 6],
  )
  t.equal(
    found[0]!.every(({ outside }) => outside === -1),
    true,
  )
  t.same(new Set(found[1]!.map(({ outside }) => outside)), new Set([5, 6]))
  t.end()
})

t.test('pixels that touch by a corner are apart; nothing has no border', t => {
  t.same(
    contours(...maskOf('#.', '.#')).map(border => border.length),
    [4, 4],
  )
  t.same(contours(...maskOf('..', '..')), [])
  t.end()
})

t.test('every side of every mask is passed once', t => {
  let state = 1
  for (let round = 0; round < 50; round++) {
    const [width, height] = [7, 6]
    const mask = Uint8Array.from({ length: width * height }, () => ((state = (state * 48271) % 2147483647) >> 8) & 1)
    let sides = 0
    for (let v = 0; v < height; v++) {
      for (let u = 0; u < width; u++) {
        if (!mask[v * width + u]) continue
        for (const [du, dv] of [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
        ] as const) {
          const [x, y] = [u + du, v + dv]
          if (x < 0 || y < 0 || x >= width || y >= height || !mask[y * width + x]) sides++
        }
      }
    }
    t.equal(contours(mask, width, height).flat().length, sides)
  }
  t.end()
})
