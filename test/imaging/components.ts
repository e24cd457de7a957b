import t from 'tap'
import { eachComponent, Sweep, type Component, type Connectivity } from '../../imaging/components.ts'
import { maskOf } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { awkwardVolumes, flood } from '../support/flood.ts'

const connectivities: readonly Connectivity[] = [6, 18, 26]
const pause = async (): Promise<void> => {}

async function componentsOf(shape: Shape3, voxels: Uint8Array, connectivity: Connectivity): Promise<Component[]> {
  const found: Component[] = []
  await eachComponent(maskOf(shape, voxels), connectivity, pause, component => found.push(component))
  return found.toSorted((a, b) => a.first - b.first)
}

function flooded(shape: Shape3, voxels: Uint8Array, connectivity: Connectivity): Component[] {
  const [nx, ny, nz] = shape
  return flood(shape, voxels, connectivity).map(component => {
    const places = component.map(at => [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))])
    const mean = (axis: number): number => places.reduce((sum, place) => sum + place[axis]!, 0) / places.length
    return {
      value: voxels[component[0]!]!,
      voxels: component.length,
      first: component[0]!,
      centre: [mean(0), mean(1), mean(2)],
      isOnBorder: places.some(place => place.some((i, axis) => i === 0 || i === [nx, ny, nz][axis]! - 1)),
    }
  })
}

t.test('components are those of a flood, for every connectivity, shape and number of classes', async t => {
  for (const classes of [2, 3, 5]) {
    for (const { name, shape, voxels } of awkwardVolumes(classes, rng(classes, 0, 0, 'components'))) {
      for (const connectivity of connectivities) {
        const found = await componentsOf(shape, voxels, connectivity)
        t.same(found, flooded(shape, voxels, connectivity), `${name}, ${classes} classes, ${connectivity}`)
      }
    }
  }
})

t.test('two voxels that touch by a face, an edge or a corner are one component or two', async t => {
  const places = [
    [1, 0, 0, 6],
    [0, 1, 0, 6],
    [0, 0, 1, 6],
    [1, 1, 0, 18],
    [1, 0, 1, 18],
    [0, 1, 1, 18],
    [-1, 0, 1, 18],
    [1, 1, 1, 26],
    [-1, 1, -1, 26],
    [2, 0, 0, Infinity],
    [0, 0, 2, Infinity],
  ] as const
  for (const [dx, dy, dz, from] of places) {
    const voxels = new Uint8Array(125)
    voxels[62] = 1
    voxels[62 + dx + 5 * dy + 25 * dz] = 1
    for (const connectivity of connectivities) {
      const { length } = await componentsOf([5, 5, 5], voxels, connectivity)
      t.equal(length, connectivity >= from ? 1 : 2, `${dx}, ${dy}, ${dz} with ${connectivity}`)
    }
  }
})

t.test('memory of components that have ended is given back: labels never outnumber the runs of a plane', t => {
  const shape: Shape3 = [64, 64, 1000]
  let ended = 0
  const sweep = new Sweep(shape, 6, () => ended++)
  const random = rng(3, 0, 0, 'sweep')
  let runs = 0
  for (let z = 0; z < shape[2]; z++) {
    const plane = Uint8Array.from({ length: 64 * 64 }, () => (random.uniform() < 0.2 ? 1 : 0))
    const given = maskOf([64, 64, 1], plane).runs(0)
    runs += given.from.length
    const { count, links } = sweep.next(z, given)
    if (count > given.from.length || links.length > 64 * 64) t.fail(`${count} labels in plane ${z}`)
  }
  sweep.end()
  t.ok(ended > 100_000 && ended < runs, `${ended} components`)
  t.end()
})
