/** A folder that several processes share, some of which are killed. */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { materialise } from '../../imaging/volume.ts'
import { rng } from '../../pipeline/random.ts'
import type { Key } from '../../pipeline/flow.ts'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'
import { caseOf, distinctCases, sameBits, tierOf } from '../support/stored.ts'

// Fifty processes start one after the other, on a machine that others use too.
t.setTimeout(300_000)

const script = join(projectRoot, 'dist', 'test', 'support', 'cache-user.js')

function user(folder: string, ...numbers: readonly number[]): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env // a test runner's loaders
  return spawn(process.execPath, [script, folder, ...numbers.map(String)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function lastLine(child: ChildProcess): Promise<Record<string, unknown>> {
  let text = ''
  child.stdout!.on('data', chunk => (text += String(chunk)))
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`a user ended with ${code}: ${text}`)
  return JSON.parse(text.trimEnd().split('\n').at(-1)!) as Record<string, unknown>
}

function filesIn(folder: string): { name: string; bytes: number }[] {
  return readdirSync(join(folder, 'v1')).map(name => ({ name, bytes: statSync(join(folder, 'v1', name)).size }))
}

t.test('killed at 50 random moments: whatever is trusted afterwards is right', { skip }, async t => {
  const folder = t.testdir()
  const cases = 400
  const kinds = Array.from({ length: distinctCases }, (_, number) => caseOf(number, [90, 70, 30]))
  const seen = { leftovers: 0, entries: 0 }
  const kill = async (seed: number): Promise<void> => {
    const draws = rng(11, seed, 0, 'kills')
    const child = user(folder, 2 ** 30, seed, 1e6, cases)
    await once(child.stdout!, 'data')
    await wait(draws.uniform() * 60)
    child.kill('SIGKILL')
    await once(child, 'close')
    // The other one may remove it at any moment.
    seen.leftovers += readdirSync(join(folder, 'v1')).filter(name => name.includes(`-${child.pid}-`)).length
  }
  // Two at a time, so that they also disturb each other.
  for (let seed = 0; seed < 50; seed += 2) await Promise.all([kill(seed), kill(seed + 1)])
  const tier = await tierOf(folder)
  t.same(
    filesIn(folder).filter(({ name }) => name.endsWith('.tmp')),
    [],
    'what they left half done is removed',
  )
  for (let number = 0; number < cases; number++) {
    const key = `case ${number}`
    const { volumes } = kinds[number % distinctCases]!
    const entry = await tier.get(key)
    if (!entry) continue
    seen.entries += 1
    for (const [name, { resident }] of Object.entries(volumes)) {
      const found = await materialise(entry.volumes[name as Key]!.volume)
      if (!sameBits(found, resident!)) t.fail(`${key}: wrong voxels`)
    }
    await entry.close()
  }
  t.comment(`${seen.leftovers} half-written files were left, ${seen.entries} whole entries`)
  t.equal(tier.counts.damaged, 0)
  t.ok(seen.leftovers > 2 && seen.entries > 5, 'the moments were of both kinds')
})

t.test('three processes with a limit: nothing wrong, nobody stumbles, the limit holds', { skip }, async t => {
  const folder = t.testdir()
  const limit = 6 * 2 ** 20
  const results = await Promise.all([1, 2, 3].map(seed => lastLine(user(folder, limit, seed, 150, 20))))
  for (const result of results) {
    t.comment(JSON.stringify(result))
    t.match(result, { wrong: 0, damaged: 0, damagedReads: 0, told: [] })
    t.ok(Number(result.hits) > 0 && Number(result.evicted) > 0)
  }
  const files = filesIn(folder)
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  t.comment(`${bytes / limit} of the limit`)
  t.notOk(files.some(({ name }) => name.endsWith('.tmp')))
  // Each sees what the others do once a second, and after a sixteenth of the limit.
  const tier = await tierOf(folder, { limitBytes: limit })
  t.equal(tier.counts.damaged, 0)
  t.ok(bytes <= limit * 1.5 && bytes > limit / 2)
})
