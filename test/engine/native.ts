import t from 'tap'
import { openEngine } from '../../engine/engine.ts'
import { publishedSegresnet } from '../../model/segresnet.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { skipped } from '../support/backends.ts'
import { classes, normals } from '../support/numbers.ts'
import { engineOptions } from '../support/options.ts'

const shape: Shape3 = [32, 32, 16]
const voxels = 32 * 32 * 16

t.test(
  'a step and a window of the published network run on native kernels alone',
  { skip: skipped('native') },
  async t => {
    const engine = await openEngine(engineOptions({ backend: 'native', network: publishedSegresnet }))
    t.teardown(() => engine.close())
    t.equal(engine.info.parameters, 1_176_186)
    const image = normals(voxels, 'image')
    await engine.step({ image, label: classes(voxels, 2, 'label'), count: 1, shape, cases: ['a'] })
    await engine.infer(image, 1, shape)
    t.same((await engine.report()).fallbacks, {})
  },
)

t.test('the number of threads changes no bit', { skip: skipped('native') }, async t => {
  const image = normals(2 * voxels, 'image')
  const batch = { image, label: classes(2 * voxels, 2, 'label'), count: 2, shape, cases: ['a', 'b'] }
  const results: Float32Array[] = []
  for (const threads of [1, 2, 3]) {
    const engine = await openEngine(engineOptions({ backend: 'native', network: publishedSegresnet, threads }))
    for (let i = 0; i < 2; i++) await engine.step(batch)
    results.push(await engine.infer(image, 2, shape))
    await engine.close()
  }
  t.same(results[1], results[0], '2 threads')
  t.same(results[2], results[0], '3 threads')
})

t.test('auto takes native and says why', { skip: skipped('native') }, async t => {
  const engine = await openEngine(engineOptions({ backend: 'auto' }))
  t.teardown(() => engine.close())
  t.match(engine.info, { backend: 'native', threads: 2, reason: /^auto: / })
})
