/** Matrices end within the staged input: Dawn moves one that does not, and a GPU without its checks reads what lies behind. */

import t from 'tap'
import { stageLayout } from '../../../engine/backends/webgpu/kernels/conv3d/matrix-stage.ts'
import { cube, type Triple } from '../../support/gpu-convolutions.ts'

const shapes: readonly (readonly [step: Triple, taps: Triple])[] = [
  [cube(1), cube(3)],
  [cube(2), cube(3)],
  [cube(1), cube(2)],
  [
    [2, 1, 3],
    [1, 3, 2],
  ],
  [
    [1, 2, 3],
    [3, 1, 5],
  ],
]

t.test('every matrix of a box ends in its input', t => {
  let tight = 0
  for (const [step, taps] of shapes)
    for (const box of [
      [1, 1, 4],
      [2, 7, 16],
      [4, 8, 4],
      [3, 1, 28],
    ] as const)
      for (const channels of [8, 16])
        for (const [along, across] of [
          [16, 16],
          [8, 8],
          [8, 16],
          [16, 8],
        ] as const) {
          const stage = stageLayout({ box, step, taps, channels }, along, across)
          const [, height, width] = stage.extents
          const ends: number[] = []
          for (let kz = 0; kz < taps[0]; kz++)
            for (let ky = 0; ky < taps[1]; ky++)
              for (const { remainder, pieces } of stage.runs) {
                const phase = ((kz % step[0]) * step[1] + (ky % step[1])) * step[2] + remainder
                const row = Math.floor(kz / step[0]) * height + Math.floor(ky / step[1])
                const lastOfBox = (box[0] - 1) * height * width + (stage.perPlane - 1) * along
                const position = phase * stage.volume + row * width + lastOfBox + along - 1
                ends.push(position * stage.pitch + (pieces - 1) * stage.perPiece + across)
              }
          const size = stage.positions * stage.pitch
          const most = Math.max(...ends)
          if (most > size)
            t.fail(`a matrix ends at ${most} of ${size}: ${JSON.stringify({ box, step, taps, channels })}`)
          if (size - most < 2 * stage.pitch) tight++
        }
  t.ok(tight > 50, `${tight} without much room behind`)
  t.end()
})
