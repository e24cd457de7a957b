import { spawnSync } from 'node:child_process'
import t from 'tap'

t.test('the peak of memory is that of this process, not of the one that started it', async t => {
  const module = JSON.stringify(new URL('../../pipeline/summary.js', import.meta.url).href)
  const small = `import(${module}).then(({ peakRss }) => console.log(peakRss()))`
  const large = `
    const voxels = new Uint8Array(3e8).fill(1)
    const child = require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(small)}])
    process.stdout.write(child.stdout)
    import(${module}).then(({ peakRss }) => console.log(peakRss(), voxels.length))`
  const { stdout } = spawnSync(process.execPath, ['-e', large], { encoding: 'utf8' })
  const [own, parents] = stdout.split('\n').map(line => Number(line.split(' ')[0]))
  t.comment(`${own} and ${parents} bytes`)
  t.ok(own! > 1e7 && own! < 2.5e8)
  t.ok(parents! > 3e8)
})
