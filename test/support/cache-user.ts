/**
 * Takes cases out of a disk tier and puts in what is not there, one after the other at random, and checks every voxel: for tests
 * of processes that share a folder or are killed. `node cache-user.js <folder> <limit in bytes> <seed> <rounds> <cases>`.
 *
 * Says "ready" before the first round, and in the end what it counted, as JSON.
 */

import { materialise } from '../../imaging/volume.ts'
import { isDamaged } from '../../cache/checked-file.ts'
import { rng } from '../../pipeline/random.ts'
import type { Key } from '../../pipeline/flow.ts'
import { caseOf, distinctCases, put, sameBits, tierOf } from './stored.ts'

const [folder, limitBytes, seed, rounds, cases] = process.argv.slice(2)
const told: string[] = []
const counts = { hits: 0, misses: 0, kept: 0, wrong: 0, damagedReads: 0 }
const tier = await tierOf(folder!, { limitBytes: Number(limitBytes), tell: message => told.push(message) })
const kinds = Array.from({ length: distinctCases }, (_, number) => caseOf(number, [90, 70, 30]))
console.log('ready')
for (let round = 0; round < Number(rounds); round++) {
  const draws = rng(Number(seed), round, 0, 'user')
  const number = draws.integer(Number(cases))
  const key = `case ${number}`
  const { volumes } = kinds[number % distinctCases]!
  const found = await tier.get(key)
  if (!found) counts.misses++
  const entry = found ?? (await put(tier, key, volumes))
  if (!entry) continue
  if (found) counts.hits++
  else counts.kept++
  try {
    for (const [name, { resident }] of Object.entries(volumes))
      if (!sameBits(await materialise(entry.volumes[name as Key]!.volume), resident!)) counts.wrong++
    const annex = await tier.annex(key, 'numbers', async () => Uint8Array.from({ length: 9000 }, (_, i) => i))
    if ((await annex.read(4500, 1))[0] !== 4500 % 256) counts.wrong++
  } catch (error) {
    if (!isDamaged(error)) throw error
    counts.damagedReads++
  }
  await entry.close()
}
console.log(JSON.stringify({ ...counts, told, ...tier.counts }))
