/** What a person or a machine sees while a run goes on: a bar on a terminal, plain lines elsewhere, JSON lines on request. */

import cliProgress, { MultiBar, Presets, type SingleBar } from 'cli-progress'
import { leftText } from './eta.ts'
import { toJson } from './json.ts'

export type ProgressMode = 'tty' | 'plain' | 'json' | 'none'

export interface Progress {
  /** A line for people: what is about to happen, a warning, a failed case. */
  note(text: string): void
  /** Work of known length begins, under a name such as "epoch 3/30". */
  begin(name: string, total: number): void
  /** So much of it is done; `detail` is short. `secondsLeft` is told by who knows better than the bar. */
  advance(done: number, detail?: string, secondsLeft?: number): void
  /** Something was measured: one JSON line in json mode, one line elsewhere where there are words for it. */
  event(name: string, values: Readonly<Record<string, unknown>>, text: string): void
  /** What is true just now, such as who waits for whom: a line that replaces the one before, where there is a bar. */
  status(text: string): void
  /** Where the time of a pass went: one JSON line in json mode, the status where there is one, a line elsewhere. */
  stages(values: Readonly<Record<string, unknown>>, text: string): void
  close(): void
}

/** Writes to standard error, so that standard output keeps to the result. */
export function createProgress(mode: ProgressMode, out: NodeJS.WriteStream = process.stderr): Progress {
  if (mode === 'none') return silent
  if (mode === 'json') return jsonLines(out)
  return mode === 'tty' ? bar(out) : plainLines(out)
}

/** A bar where somebody watches, lines where a file does. */
export function defaultMode(out: NodeJS.WriteStream = process.stderr): ProgressMode {
  return out.isTTY ? 'tty' : 'plain'
}

const silent: Progress = { note() {}, begin() {}, advance() {}, event() {}, status() {}, stages() {}, close() {} }

function jsonLines(out: NodeJS.WriteStream): Progress {
  const write = (type: string, values: object): void => void out.write(`${toJson({ type, ...values })}\n`)
  let current = { name: '', total: 0 }
  return {
    note: text => write('note', { text }),
    begin(name, total) {
      current = { name, total }
      write('begin', current)
    },
    advance: (done, detail, secondsLeft) =>
      write('advance', {
        name: current.name,
        done,
        total: current.total,
        ...(detail !== undefined && { detail }),
        ...(secondsLeft !== undefined && { secondsLeft }),
      }),
    event: (name, values) => write(name, values),
    status() {},
    stages: values => write('stages', values),
    close() {},
  }
}

/** One line per event; the steps in between are left out. */
function plainLines(out: NodeJS.WriteStream): Progress {
  return {
    note: text => void out.write(`${text}\n`),
    begin() {},
    advance() {},
    event: (_name, _values, text) => void (text && out.write(`${text}\n`)),
    status() {},
    stages: (_values, text) => void (text && out.write(`${text}\n`)),
    close() {},
  }
}

interface Payload {
  readonly name: string
  readonly detail: string
  /** Replaces the bar's own guess, which takes all steps for equal. */
  readonly left: string
}

function bar(out: NodeJS.WriteStream): Progress {
  const bars = new MultiBar(
    {
      stream: out,
      format: (options, params, payload: Payload) =>
        `${payload.name} ${cliProgress.Format.BarFormat(params.progress, options)} ${params.value}/${params.total} ${payload.left || cliProgress.Format.TimeFormat(params.eta, options, 5)} ${payload.detail}`,
      hideCursor: true,
      clearOnComplete: true,
      barsize: 24,
      // A line that is logged takes the place of the bar, which by itself comes back only when it changes.
      forceRedraw: true,
    },
    Presets.shades_classic,
  )
  let current: SingleBar | undefined
  let below: SingleBar | undefined
  const line = (text: string): void => {
    bars.log(`${text}\n`)
    bars.update()
  }
  const status = (text: string): void => {
    // Under the bar, so not before there is one.
    if (!current) return
    if (below) below.update(0, { text })
    else below = bars.create(1, 0, { text }, { format: '{text}' })
  }
  return {
    note: line,
    begin(name, total) {
      // Started again rather than made anew: its place stays, and the time that is left is counted from now.
      if (current) current.start(total, 0, { name, detail: '', left: '' })
      else current = bars.create(total, 0, { name, detail: '', left: '' })
    },
    advance: (done, detail, secondsLeft) =>
      current?.update(done, {
        ...(detail !== undefined && { detail }),
        ...(secondsLeft !== undefined && { left: leftText(secondsLeft) }),
      }),
    event: (_name, _values, text) => void (text && line(text)),
    status,
    stages: (_values, text) => status(text),
    close: () => bars.stop(),
  }
}
