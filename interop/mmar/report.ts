/** What an import says, line by line: what it took, replaced, did not need, leaves to be looked at, and could not take. */

import { PipelineError } from '../../pipeline/errors.ts'
import { showPlace, type Place } from './json.ts'

export type Outcome =
  /** Means the same here. */
  | 'taken'
  /** Done by other means here; the text says by which, and whether numbers change. */
  | 'replaced'
  /** Nothing to do here: logging, wiring, moving tensors to a device. */
  | 'unneeded'
  /** Taken, but somebody should look: a path that does not exist on this machine, a script that would change a value. */
  | 'check'
  /** Not taken. The import is incomplete. */
  | 'refused'

export interface ReportLine extends Place {
  readonly outcome: Outcome
  /** What stands there, in the MMAR's words. */
  readonly what: string
  /** What became of it, or why it could not be taken. */
  readonly text: string
}

const words: Readonly<Record<Outcome, string>> = {
  taken: 'took',
  replaced: 'replaced',
  unneeded: 'not needed',
  check: 'CHECK',
  refused: 'COULD NOT',
}

const maxLines = 5000

/** Without characters that move the cursor or turn the writing, and not endless. */
function printable(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}]/gu, ' ')
  return plain.length > 500 ? `${plain.slice(0, 497)}...` : plain
}

export class Report {
  readonly #lines: ReportLine[] = []

  /** In the order in which they were said. */
  get lines(): readonly ReportLine[] {
    return this.#lines
  }

  /** File by file, in the order of their first mention, and each from its top to its end. */
  get sorted(): readonly ReportLine[] {
    const files = [...new Set(this.#lines.map(({ file }) => file))]
    const rank = ({ file, line = Infinity }: ReportLine): [number, number] => [files.indexOf(file), line]
    return this.#lines.toSorted((a, b) => {
      const [[fileA, lineA], [fileB, lineB]] = [rank(a), rank(b)]
      // Two lines that are not known are equal, where their difference would be NaN.
      return fileA - fileB || (lineA === lineB ? 0 : lineA - lineB)
    })
  }

  /** False as soon as one thing could not be taken. */
  get complete(): boolean {
    return !this.#lines.some(({ outcome }) => outcome === 'refused')
  }

  /** ERR_DEFINITION where there is more to say than any MMAR gives reason to. */
  add(outcome: Outcome, place: Place, what: string, text: string): void {
    if (this.#lines.length >= maxLines)
      throw new PipelineError(
        'ERR_DEFINITION',
        `${printable(showPlace(place))}: expected the configuration of an MMAR, found more than ${maxLines} things to report; give a folder that Clara Train can use`,
      )
    const { file, pointer, line } = place
    const known = line !== undefined && { line }
    this.#lines.push({
      outcome,
      file,
      pointer: printable(pointer),
      ...known,
      what: printable(what),
      text: printable(text),
    })
  }

  addAll(lines: readonly ReportLine[]): void {
    this.#lines.push(...lines)
  }

  /** Says the same thing of the same place once. */
  addOnce(outcome: Outcome, place: Place, what: string, text: string): void {
    const known = this.#lines.some(
      line =>
        line.file === place.file &&
        line.pointer === printable(place.pointer) &&
        line.what === printable(what) &&
        line.text === printable(text),
    )
    if (!known) this.add(outcome, place, what, text)
  }
}

/** One line for people. */
export function showLine(line: ReportLine): string {
  return `  ${words[line.outcome].padEnd(10)} ${showPlace(line)}: ${line.what} -> ${line.text}`
}

/** How often each outcome occurs, in words. */
export function summary(lines: readonly ReportLine[]): string {
  const count = (outcome: Outcome): number => lines.filter(line => line.outcome === outcome).length
  return [
    `${count('taken')} taken`,
    `${count('replaced')} replaced`,
    `${count('unneeded')} not needed`,
    `${count('check')} to check`,
    `${count('refused')} could not be taken`,
  ].join(', ')
}
