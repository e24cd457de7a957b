/**
 * `npm run parity`: compares every step of the chain with MONAI and PyTorch, with recorded values and with values made
 * now, and writes docs/parity.md. Ends with 1 when anything is out of its tolerance.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  checks,
  describe,
  findings,
  referencesIn,
  type Finding,
  type References,
} from '../test/support/parity/index.ts'
import { exportFindings } from './parity/exports.ts'
import { parityPage, type Source } from './parity/page.ts'
import { pythonWith } from './parity/python.ts'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const here = join(root, 'scripts', 'parity')
const work = join(root, 'build', 'parity')
const usage = `usage: npm run parity -- [--seeds 11,12] [--golden FOLDER]... [--page FILE]
Makes references in build/parity with the Python that PARITY_PYTHON names, or with a virtual environment of its own.`

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '11,12' },
    golden: { type: 'string', multiple: true, default: [resolve(root, '..', 'shared', 'golden')] },
    page: { type: 'string', default: join(root, 'docs', 'parity.md') },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) console.log(usage)
else await main(values.seeds.split(',').map(Number), values.golden, values.page)

async function main(seeds: readonly number[], golden: readonly string[], page: string): Promise<void> {
  if (seeds.some(seed => !Number.isInteger(seed) || seed < 0)) throw new Error(usage)
  const program = pythonWith(join(here, 'requirements.txt'), join(work, 'venv'))
  const recorded: References[] = golden
    .filter(folder => existsSync(folder))
    .flatMap((folder, i) => referencesIn(folder, i === 0 ? 'golden' : `golden-${i + 1}`))
  if (recorded.length === 0) console.log(`no recorded values in ${golden.join(', ')}: only those made now are compared`)
  const made = seeds.flatMap(seed => {
    const folder = join(work, `seed-${seed}`)
    rmSync(folder, { recursive: true, force: true })
    console.log(`references of seed ${seed}`)
    // Its warnings are about masks that are empty on purpose.
    execFileSync(program, ['-W', 'ignore', join(here, 'make_references.py'), String(seed), folder], {
      stdio: 'inherit',
    })
    return referencesIn(folder, `seed-${seed}`)
  })
  const sources: Source[] = [
    { name: 'recorded', sets: recorded },
    { name: 'made', sets: made },
  ]
  const found: Finding[] = []
  for (const references of [...recorded, ...made]) {
    console.log(references.name)
    for await (const finding of findings(checks, references)) {
      found.push(finding)
      console.log(`  ${finding.within ? 'ok    ' : 'NOT OK'} ${describe(finding)}`)
    }
    references.forget()
  }
  const exported = await exportFindings(program, join(here, 'read_exports.py'), join(work, 'exports'), [
    ...recorded,
    ...made,
  ])
  for (const finding of exported.found) console.log(`  ${finding.within ? 'ok    ' : 'NOT OK'} ${describe(finding)}`)
  found.push(...exported.found)
  const all = [...checks, ...exported.checks]
  const measured = all.filter(check => found.some(finding => finding.check === check))
  const unmeasured = all.filter(check => !check.rare && !measured.includes(check))
  const outside = found.filter(({ within }) => !within)
  for (const { step, quantity } of unmeasured) console.log(`NOT OK ${step}: ${quantity}: no set of references has it`)
  writeFileSync(
    page,
    parityPage({
      checks: all.filter(check => measured.includes(check) || !check.rare),
      found,
      sources,
      seeds,
      keptOnPurpose: readFileSync(join(here, 'differences.md'), 'utf8'),
    }),
  )
  console.log(`${found.length} comparisons, ${outside.length} out of tolerance; ${page}`)
  process.exitCode = outside.length + unmeasured.length === 0 ? 0 : 1
}
