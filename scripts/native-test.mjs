/**
 * Builds native/test, a program without JavaScript that compares every kernel in every variant with the scalar one, for
 * another processor or with sanitizers, and runs it.
 *
 *   node scripts/native-test.mjs neon       with a compiler for 64-bit ARM, under qemu where this is another processor
 *   node scripts/native-test.mjs sanitize   with AddressSanitizer and UBSan, then ThreadSanitizer; and the addon in Node
 *
 * Skips with a reason where a tool is missing. What follows goes to the program: --cases N, --seed N.
 */

import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildAddon, root, sourceFolder } from './build-addon.mjs'

const program = {
  folders: [sourceFolder, join(root, 'native', 'test')],
  leaveOut: [join(sourceFolder, 'addon.cc')],
}
const failingMemory = '-Wl,--wrap=posix_memalign'
const [mode, ...rest] = process.argv.slice(2)

async function neon() {
  const own = process.arch === 'arm64'
  const compilers = own ? [process.env.CXX, 'g++', 'clang++'].filter(Boolean) : ['aarch64-linux-gnu-g++']
  if (process.platform !== 'linux') return skip('it links as Linux does')
  if (!compilers.some(has)) return skip('no compiler for 64-bit ARM: apt install g++-aarch64-linux-gnu')
  const emulator = own ? [] : [['qemu-aarch64', 'qemu-aarch64-static'].find(has)]
  if (!own && emulator[0] === undefined) return skip('no emulator of 64-bit ARM: apt install qemu-user')
  const target = await build('neon', {
    arch: 'arm64',
    cxx: compilers,
    linkFlags: [failingMemory, ...(own ? [] : ['-static'])],
  })
  run([...emulator, target, '--need', 'neon', ...rest])
}

async function sanitize() {
  if (process.platform !== 'linux') return skip('it links as Linux does')
  // Frames make reports readable; -O1 compiles in a third of the time.
  const flags = sanitizers => [`-fsanitize=${sanitizers}`, '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-O1', '-g1']
  const memory = flags('address,undefined')
  const cxx = [process.env.CXX, 'g++'].filter(Boolean)
  const checked = await build('address', { cxx, flags: memory, linkFlags: [failingMemory, ...memory] })
  // Fresh memory is NaN: a value that nobody wrote shows in the comparison.
  run([checked, ...rest], { ASAN_OPTIONS: 'max_malloc_fill_size=1000000000:malloc_fill_byte=255:detect_stack_use_after_return=1' })

  const threads = flags('thread')
  run([await build('thread', { cxx, flags: threads, linkFlags: [failingMemory, ...threads] }), '--threads-only', ...rest])
}

async function build(name, options) {
  const folder = join(root, 'build', 'native-test', name)
  await mkdir(folder, { recursive: true })
  const target = join(folder, 'native-test')
  const started = performance.now()
  await buildAddon({ ...program, target, outputFolder: join(folder, 'objects'), ...options })
  console.log(`${name}: compiled in ${seconds(started)}`)
  return target
}

/** Everything it says is shown; a status that is not 0 fails this script. */
function run([command, ...args], env = {}) {
  const started = performance.now()
  const { status, signal } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  console.log(`${[command, ...args].join(' ')}: ${signal ?? `status ${status}`} after ${seconds(started)}`)
  if (status !== 0) process.exitCode = 1
}

function skip(reason) {
  console.log(`skipped: ${reason}`)
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`
}

const modes = { neon, sanitize }
if (!Object.hasOwn(modes, mode)) {
  console.error(`expected one of ${Object.keys(modes).join(', ')}`)
  process.exitCode = 2
} else {
  await modes[mode]()
}
