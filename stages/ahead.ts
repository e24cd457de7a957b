/** Working ahead of whoever takes the results. */

import highland from 'highland'
import type { Item } from '../pipeline/flow.ts'

type Outcome = { readonly item: Item } | { readonly error: unknown }

/**
 * Every item through `work`, in order, with at most `parallel` of them begun and not yet taken. highland's own `parallel`
 * begins nothing new while nobody asks: behind a stage that takes one item at a time it would let the one wait for the
 * other. What comes as an error passes in its place. After the source's end what is at work is waited for.
 */
export function aheadInOrder(
  source: Highland.Stream<Item>,
  parallel: number,
  work: (item: Item) => Promise<Item>,
): Highland.Stream<Item> {
  /** Begun and not taken, in order. */
  const line: Promise<Outcome>[] = []
  let asking = false
  let ended = false
  let onArrival: (() => void) | undefined

  const begin = (): void => {
    if (asking || ended || line.length >= parallel) return
    asking = true
    source.pull((error: unknown, item) => {
      asking = false
      if (error) line.push(Promise.resolve({ error }))
      else if (highland.isNil(item)) ended = true
      else
        line.push(
          work(item).then(
            done => ({ item: done }),
            (thrown: unknown) => ({ error: thrown }),
          ),
        )
      begin()
      onArrival?.()
    })
  }

  return highland<Item>((push, next) => {
    const give = (): void => {
      onArrival = undefined
      const first = line[0]
      if (first) void first.then(take)
      else if (ended) push(null, highland.nil)
      else onArrival = give
    }
    const take = (outcome: Outcome): void => {
      void line.shift()
      begin()
      if ('item' in outcome) push(null, outcome.item)
      else push(outcome.error as Error)
      next()
    }
    begin()
    give()
  })
}
