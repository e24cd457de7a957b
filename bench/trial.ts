/** A trial is data: a name, a unit, and one repetition. */

export interface Trial {
  /** Slashes separate what, size, precision: `train-step/f8/224x224x32/float32`. */
  readonly name: string
  readonly unit: string
  readonly runs: number
  /** Once before the repetitions; what it gives is handed to them and closed. */
  readonly prepare?: () => Promise<void>
  /** One repetition: the figure in `unit`. The first is a warm-up and not counted. */
  readonly run: () => Promise<number>
  readonly close?: () => Promise<void>
  /** What 100 % would be, in the same unit. */
  readonly peak?: () => number
  /** Peak resident bytes of the whole process, after the repetitions. */
  readonly peakBytes?: () => number
}

export interface Result {
  readonly trial: string
  readonly median: number
  readonly unit: string
  readonly runs: number
  readonly min: number
  readonly max: number
  readonly shareOfPeak?: number
  readonly peakBytes?: number
}

export async function runTrial(trial: Trial): Promise<Result> {
  await trial.prepare?.()
  try {
    await trial.run()
    const values: number[] = []
    for (let i = 0; i < trial.runs; i++) values.push(await trial.run())
    values.sort((a, b) => a - b)
    const median = (values[Math.floor((values.length - 1) / 2)]! + values[Math.ceil((values.length - 1) / 2)]!) / 2
    return {
      trial: trial.name,
      median,
      unit: trial.unit,
      runs: values.length,
      min: values[0]!,
      max: values.at(-1)!,
      ...(trial.peak && { shareOfPeak: median / trial.peak() }),
      ...(trial.peakBytes && { peakBytes: trial.peakBytes() }),
    }
  } finally {
    await trial.close?.()
  }
}
