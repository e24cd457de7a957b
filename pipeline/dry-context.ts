/** A run that is none: what stages are lent while they are only looked at or timed. */

import { openLedger } from './ledger.ts'
import { randomOf } from './random-mode.ts'
import { unknownOrder } from './schedule.ts'
import type { Engine } from './engine.ts'
import type { Context, Random } from './stage.ts'

/** Without an engine, asking for one is a bug. Memory is no object. */
export function dryContext(random: Random['mode'], engine?: Engine): Context {
  return {
    seed: 0,
    random: randomOf(random, 0),
    ledger: openLedger(Number.MAX_SAFE_INTEGER),
    upcoming: unknownOrder,
    folder: '',
    signal: new AbortController().signal,
    engine: () => {
      if (!engine) throw new Error('the engine is not for checks')
      return engine
    },
    count() {},
    note() {},
  }
}
