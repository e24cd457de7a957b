/** The page about parity: a row for every check, whatever the sets of references. */

import { cpus } from 'node:os'
import type { Check, Finding, References } from '../../test/support/parity/index.ts'

/** Sets of references that were made alike. */
export interface Source {
  readonly name: string
  readonly sets: readonly References[]
}

export interface PageFacts {
  readonly checks: readonly Check[]
  readonly found: readonly Finding[]
  readonly sources: readonly Source[]
  readonly seeds: readonly number[]
  /** Markdown. */
  readonly keptOnPurpose: string
}

export function parityPage({ checks, found, sources, seeds, keptOnPurpose }: PageFacts): string {
  const rows = checks.map(check =>
    row(
      check,
      found.filter(finding => finding.check === check),
      sources,
    ),
  )
  const legend = sources
    .filter(({ sets }) => sets.length > 0)
    .map(({ name, sets }) => `- **${name}**: ${versions(sets)}; ${sets.map(set => set.name).join(', ')}`)
  return `# Parity with MONAI and PyTorch

Every step of the chain against values computed by MONAI and PyTorch. This page is written by

\`\`\`
npm run parity -- --seeds ${seeds.join(',')}
\`\`\`

which makes references of its own scans, networks and masks (\`scripts/parity/make_references.py\`), compares them and the recorded
ones (\`test/support/parity/\`), and fails when anything is out of its tolerance. \`npm test\` makes the same comparisons with the recorded values.

${legend.join('\n')}

The product ran on Node ${process.versions.node}, native engine, float32, ${cpus()[0]?.model.trim() ?? process.arch}. Where a step has both kinds of references, the
largest difference over all of them is shown.

| step | compared | references | largest difference | tolerance | unit |
| ---- | -------- | ---------- | ------------------ | --------- | ---- |
${rows.join('\n')}

${keptOnPurpose.trim()}
`
}

function row(check: Check, found: readonly Finding[], sources: readonly Source[]): string {
  const from = sources.filter(({ sets }) => found.some(({ references }) => sets.includes(references)))
  const worst = found.reduce<Finding | undefined>(
    (most, finding) => (most && most.difference >= finding.difference ? most : finding),
    undefined,
  )
  const verdict =
    worst === undefined ? 'not compared' : `${figure(worst.difference)}${worst.within ? '' : ' (out of tolerance)'}`
  const cells = [
    check.step,
    check.quantity,
    from.map(({ name }) => name).join(', '),
    verdict,
    figure(check.tolerance),
    check.unit,
  ]
  return `| ${cells.map(text => text.replaceAll('|', '\\|')).join(' | ')} |`
}

function figure(value: number): string {
  return value === 0 ? '0' : value.toExponential(1).replace('.0e', 'e')
}

function versions(sets: readonly References[]): string {
  return [...new Set(sets.map(({ index }) => `MONAI ${index.monai} with PyTorch ${index.torch}`))].join(' and ')
}
