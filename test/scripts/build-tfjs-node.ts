import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { buildTfjsNode } from '../../scripts/build-tfjs-node.ts'

t.test('a folder with anything else in it is refused and left as it is', t => {
  for (const contents of [{ 'notes.txt': 'mine' }, { 'package.json': '{ "name": "mine" }' }]) {
    const folder = t.testdir(contents)
    const [name, text] = Object.entries(contents)[0]!
    const error =
      process.platform === 'linux' ? { message: `${folder}: expected an empty folder` } : { message: 'expected Linux' }
    t.throws(() => buildTfjsNode({ folder }), error)
    t.same(readdirSync(folder), [name])
    t.equal(readFileSync(join(folder, name), 'utf8'), text)
  }
  t.end()
})
