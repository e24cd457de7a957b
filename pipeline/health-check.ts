/**
 * Tells a service that watches scheduled runs, by requests to a URL, that a run has begun and how it ended, as
 * healthchecks.io and its like have them: `<url>/start`, `<url>` for exit code 0, `<url>/fail` for all others, whose body
 * begins with the code.
 */

import { messageOf } from './errors.ts'
import { version } from './version.ts'

export interface HealthCheck {
  /** Sends the word and goes on. */
  start(): void
  /** Sends how the run ended; waits for the answer, and for that of the start, no longer than the time limit for both. */
  end(exitCode: number, lines: readonly string[]): Promise<void>
}

const timeoutMs = 5000
/** What services keep of a body; healthchecks.io takes ten times as much. */
const mostCharacters = 10_000

const none: HealthCheck = { start() {}, async end() {} }

/** Nothing that the service answers, or does not, nor any URL, is more than a line for `note`. */
export function openHealthCheck(url: string | undefined, note: (text: string) => void): HealthCheck {
  if (url === undefined) return none
  if (!URL.canParse(url)) {
    note('health check: the URL cannot be read, so nobody is told of this run')
    return none
  }
  let started: Promise<void> = Promise.resolve()
  return {
    start() {
      started = ping(at(url, 'start'), '', AbortSignal.timeout(timeoutMs), note)
    },
    async end(exitCode, lines) {
      const limit = AbortSignal.timeout(timeoutMs)
      // The service must see the start first.
      await Promise.race([started, new Promise(resolve => limit.addEventListener('abort', resolve))])
      const isWell = exitCode === 0
      const text = [...(isWell ? [] : [`exit code ${exitCode}`]), ...lines].join('\n').slice(0, mostCharacters)
      await ping(isWell ? url : at(url, 'fail'), text, limit, note)
    },
  }
}

/** The URL with one more part at the end of its path; what stands behind the path stays. */
function at(url: string, part: string): string {
  const changed = new URL(url)
  changed.pathname = `${changed.pathname.replace(/\/$/, '')}/${part}`
  return changed.href
}

async function ping(url: string, body: string, signal: AbortSignal, note: (text: string) => void): Promise<void> {
  try {
    const headers = { 'content-type': 'text/plain; charset=utf-8', 'user-agent': `ctflow/${version()}` }
    const ask = (): Promise<Response> => fetch(url, { method: 'POST', body, headers, signal })
    // The connection of the start may have been closed by the service in the hours since.
    const answer = await ask().catch((error: unknown) => (wasDropped(error) ? ask() : Promise.reject(error as Error)))
    await answer.body?.cancel()
    if (!answer.ok) note(`health check: ${hostOf(url)} answered ${answer.status} ${answer.statusText}`.trimEnd())
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    const reason = cause === undefined ? messageOf(error) : reasonOf(cause)
    note(`health check: ${hostOf(url)} could not be asked: ${reason.replaceAll(url, 'its URL')}`)
  }
}

function wasDropped(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: string } }
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(cause?.code ?? '')
}

/** Whoever knows the whole URL can send in our name. */
function hostOf(url: string): string {
  return new URL(url).host
}

/** An address that was tried in several ways has no message of its own. */
function reasonOf(cause: unknown): string {
  const { code } = cause as { code?: string }
  return messageOf(cause) || (code ?? 'unknown')
}
