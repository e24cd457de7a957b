import t from 'tap'
import { parityPage } from '../../scripts/parity/page.ts'
import type { Check, Finding, References } from '../support/parity/index.ts'

const check = (step: string): Check => ({
  step,
  quantity: 'a | b',
  unit: 'mm',
  tolerance: 1e-3,
  run: async () => undefined,
})
const references = (name: string): References => ({ name, index: { monai: '1.3', torch: '2.6' } }) as References

t.test('a row for every check, the largest difference, and what is out of tolerance or missing', async t => {
  const checks = [check('near'), check('far'), check('nowhere')]
  const [recorded, made] = [references('golden'), references('seed-1')]
  const found = (index: number, set: References, difference: number): Finding => ({
    check: checks[index]!,
    references: set,
    difference,
    within: difference <= 1e-3,
  })
  const page = parityPage({
    checks,
    found: [found(0, recorded, 0), found(0, made, 2e-4), found(1, made, Infinity), found(1, made, 1)],
    sources: [
      { name: 'recorded', sets: [recorded] },
      { name: 'made', sets: [made] },
    ],
    seeds: [1, 2],
    keptOnPurpose: '## Differences\n',
  })
  const rows = page.split('\n').filter(line => /^\| (near|far|nowhere)/.test(line))
  t.same(rows, [
    '| near | a \\| b | recorded, made | 2e-4 | 1e-3 | mm |',
    '| far | a \\| b | made | Infinity (out of tolerance) | 1e-3 | mm |',
    '| nowhere | a \\| b |  | not compared | 1e-3 | mm |',
  ])
  t.match(page, /--seeds 1,2\n/)
  t.match(page, /\*\*recorded\*\*: MONAI 1\.3 with PyTorch 2\.6; golden\n/)
  t.match(page, /## Differences\n$/)
})
