/** The border to JavaScript under attack: an error that says what was expected, or the right result; never a crash. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { loadAddon } from '../../native/addon.ts'
import { fuzzed } from '../support/fuzz.ts'
import { skip } from '../support/kernels.ts'
import { projectRoot } from '../support/shared.ts'

const addonPath = join(projectRoot, 'build', 'ctflow.node')

t.test('any arguments: an error or the right result, and the process lives', { skip }, async t => {
  const { counts, messages } = fuzzed(t, 'border', 3000)
  t.ok(counts['compared']! > 500 && counts['refused']! > 500, 'enough of both kinds')
  const says =
    /is not|not an|must be|has N elements|do not make|holds something|expected|no such|too (large|many)|no kernels|unknown|out of memory|needs more than/
  const mute = messages.filter(
    message => !says.test(message) && !/asked for its value|Cannot convert a Symbol/.test(message),
  )
  t.same(mute, [], 'each error says what was wrong')
})

t.test('sizes whose places would not fit into numbers are refused', { skip }, async t => {
  const addon = loadAddon()
  const y = new Float32Array(2 ** 22)
  const one = new Float32Array(1)
  const shape = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2 ** 22, 1, 1, 1, 2 ** 10, 0, 0, 0]
  t.throws(() => addon.conv3dForward(one, one, y, shape), { message: /output's size times the stride is too large/ })
  t.throws(() => addon.conv3dInputGradient(y, one, one, shape), { message: /too large/ })
  for (const seconds of [Infinity, NaN, 0, -1, 61])
    t.throws(() => addon.peak('float32', seconds), { message: /expected up to 60 seconds, found/ })
})

t.test('work memory that no machine has is an error', { skip: skip || noVectors() }, async t => {
  const addon = loadAddon()
  const channels = 2 ** 20
  const y = new Float32Array(2 ** 24)
  const shape = [1, 1, 1, 1, channels, 1, 1, 1, 1, 1, y.length, 1, 1, 1, 1, 0, 0, 0]
  t.throws(() => addon.conv3dForward(new Float32Array(channels), new Float32Array(channels), y, shape), {
    message: /^conv3d: out of memory/,
  })
})

t.test(
  'work memory that this process may not have is an error, and the next call works',
  { skip: skip || noVectors() || noLimits() },
  async t => {
    // A limit on the process itself, set when all it needs is there: 64 MB are left, the call needs 400.
    const code = `
    const { readFileSync } = require('node:fs')
    const { execFileSync } = require('node:child_process')
    const addon = require(${JSON.stringify(addonPath)})
    const channels = 2 ** 20 - 1
    const [x, gamma, beta, y] = Array.from({ length: 4 }, () => new Float32Array(channels).fill(1))
    const one = () => new Float32Array(1)
    const [mean, rstd] = [one(), one()]
    const norm = n => addon.groupNormForward(x.subarray(0, n), gamma.subarray(0, n), beta.subarray(0, n), y.subarray(0, n), mean, rstd, [1, 1, n, 1], 1e-5, false)
    norm(10)
    const used = 1024 * Number(/VmData:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    execFileSync('prlimit', ['--pid', String(process.pid), '--data=' + (used + (64 << 20)) + ':unlimited'])
    try { norm(channels) } catch (error) { console.log(error.message) }
    y.fill(NaN)
    norm(10)
    console.log(y.subarray(0, 10).join())`
    const { NODE_OPTIONS: _, ...env } = process.env
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', env })
    t.same({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
    t.match(stdout, /^group norm: out of memory: no \d+\.\d MB to work in\n1,1,1,1,1,1,1,1,1,1\n$/)
  },
)

/** Scalar kernels need next to no memory. */
function noVectors(): string | false {
  return !skip && loadAddon().isas().length > 1 ? false : 'this processor has no vector kernels'
}

function noLimits(): string | false {
  const works = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0
  return works ? false : 'no prlimit to limit memory with'
}
