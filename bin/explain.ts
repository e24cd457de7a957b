/** `run-pipeline explain` and `validate`: what a definition will do, without running it. */

import { loadDefinition } from '../pipeline/definition.ts'
import { explain, validate } from '../pipeline/explain.ts'
import { explanationLines, outlineLines } from '../pipeline/explain/lines.ts'
import { perform } from './command.ts'

export interface ExplainFlags {
  readonly set: readonly string[]
  readonly json?: boolean
  /** Reads every label. */
  readonly labels?: boolean
}

/** Exit code 3 where some cases will fail. */
export function explainCommand(file: string, { set, json, labels }: ExplainFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const waiting = patience()
    try {
      const explanation = await explain(loadDefinition(file, set), {
        ...(labels && { labels }),
        progress: waiting.tell,
      })
      const failed = explanation.failures.length > 0 || explanation.memory.tooLarge.length > 0
      return { exitCode: failed ? 3 : 0, lines: explanationLines(explanation), facts: { ...explanation } }
    } finally {
      waiting.end()
    }
  })
}

export function validateCommand(file: string, { set, json }: ExplainFlags): Promise<number> {
  return perform(json ?? false, async () => {
    const outline = await validate(loadDefinition(file, set))
    return { exitCode: 0, lines: outlineLines(outline), facts: { ...outline } }
  })
}

/** Says on standard error what is being done, to whoever has waited for two seconds; a line that goes again on a terminal. */
function patience(): { tell(text: string): void; end(): void } {
  const started = performance.now()
  const { isTTY } = process.stderr
  let last = started
  let shown = false
  return {
    tell(text) {
      const now = performance.now()
      if (now - started < 2000 || now - last < (isTTY ? 100 : 5000)) return
      last = now
      shown = true
      process.stderr.write(isTTY ? `\r\x1b[K${text}` : `${text}\n`)
    },
    end() {
      if (shown && isTTY) process.stderr.write('\r\x1b[K')
    },
  }
}
