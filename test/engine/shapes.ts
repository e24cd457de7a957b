/** Shapes that do not fit the network or the vectors, through the engine. */

import t from 'tap'
import { openEngine, type EngineOptions } from '../../engine/engine.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped } from '../support/backends.ts'
import { classes, maxDifference, normals } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'

const skip = { skip: skipped('native') }

/** Runs on an engine of its own. */
async function using<T>(
  options: Partial<EngineOptions>,
  work: (engine: Awaited<ReturnType<typeof openEngine>>) => Promise<T>,
): Promise<T> {
  const engine = await openEngine(engineOptions({ backend: 'native', ...options }))
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

t.test('patches that do not halve evenly, empty ones and no patches are errors that say what to do', skip, async t => {
  await using({ network: publishedSegresnet }, async engine => {
    const check = async (shape: readonly number[], message: RegExp, count = 1): Promise<void> => {
      const voxels =
        Math.max(
          0,
          shape.reduce((a, b) => a * b, count),
        ) || 0
      const [image, label] = [new Float32Array(voxels), new Uint8Array(voxels)]
      const expected = { code: 'ERR_DEFINITION', message }
      await t.rejects(engine.infer(image, count, shape as unknown as Shape3), expected)
      await t.rejects(engine.step({ image, label, count, shape: shape as unknown as Shape3, cases: [] }), expected)
    }
    await check(
      [12, 8, 8],
      /12 x 8 x 8 voxels does not halve evenly on 4 levels; .* divisible by 8, for example 16 x 8 x 8/,
    )
    await check([8, 9, 7], /divisible by 8, for example 8 x 16 x 8/)
    await check([0, 8, 8], /for example 8 x 8 x 8/)
    await check([-8, 8, 8], /for example 8 x 8 x 8/)
    await check([NaN, 8, 8], /for example 8 x 8 x 8/)
    await check([8, 8], /for example 8 x 8 x 8/)
    await check([8, 8, 8], /at least one patch of 8 x 8 x 8 voxels, found 0; look at the batch size/, 0)
    t.equal((await engine.infer(new Float32Array(512), 1, [8, 8, 8])).length, 1024, 'and the engine still works')
  })
})

t.test(
  'channels that fill no vector, and more threads than work, give the results of the cpu backend',
  skip,
  async t => {
    for (const [initFilters, groups, outChannels] of [
      [1, 1, 2],
      [3, 3, 5],
      [6, 2, 3],
      [12, 4, 2],
      [20, 5, 7],
    ] as const) {
      const network = { ...publishedSegresnet, initFilters, groups, outChannels, blocksDown: [1, 1], blocksUp: [1] }
      const shape: Shape3 = [6, 2, 4]
      const image = normals(48, 'image')
      const batch = { image, label: classes(48, outChannels, 'label'), count: 1, shape, cases: ['a'] }
      const results = (options: Partial<EngineOptions>): Promise<{ loss: number; logits: Float32Array }> =>
        using({ network, ...options }, async engine => {
          const { loss } = await engine.step(batch)
          return { loss, logits: await engine.infer(image, 1, shape) }
        })
      const [expected, one, many] = [
        await results({ backend: 'cpu' }),
        await results({ threads: 1 }),
        await results({ threads: 64 }),
      ]
      const difference = Math.max(maxDifference(one.logits, expected.logits), Math.abs(one.loss - expected.loss))
      t.comment(`${initFilters} filters: largest difference ${difference}`)
      t.ok(difference < 1e-4, `${initFilters} filters in ${groups} groups, ${outChannels} classes`)
      t.same(many, one, 'the same with 64 threads')
    }
  },
)
