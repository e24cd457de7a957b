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
import { dirname, join } from 'node:path'
import { buildAddon, root, sourceFolder } from './build-addon.mjs'

const testFolder = join(root, 'native', 'test')
const folders = [sourceFolder, testFolder]
const program = { folders, includes: source => !source.endsWith('addon.cc') }
const library = { folders, includes: source => !source.startsWith(testFolder) }
const failingMemory = '-Wl,--wrap=posix_memalign'
const compilers = [process.env.CXX, 'g++', 'clang++'].filter(Boolean)
const [mode, ...rest] = process.argv.slice(2)

async function neon() {
  const own = process.arch === 'arm64'
  const cxx = own ? compilers : ['aarch64-linux-gnu-g++']
  if (process.platform !== 'linux') return skip('it links as Linux does')
  if (!cxx.some(has)) return skip('no compiler for 64-bit ARM: apt install g++-aarch64-linux-gnu')
  const emulator = own ? [] : ['qemu-aarch64', 'qemu-aarch64-static'].filter(has).slice(0, 1)
  if (!own && emulator.length === 0) return skip('no emulator of 64-bit ARM: apt install qemu-user')
  const linkFlags = [failingMemory, ...(own ? [] : ['-static'])]
  const target = await build('neon', 'kernels', { ...program, arch: 'arm64', cxx, linkFlags })
  run([...emulator, target, '--need', 'neon', ...rest])
}

/** Frames make reports readable; -O1 compiles in a third of the time. */
const sanitizing = names => [
  `-fsanitize=${names}`,
  '-fno-sanitize-recover=all',
  '-fno-omit-frame-pointer',
  '-O1',
  '-g1',
]

async function sanitize() {
  if (process.platform !== 'linux') return skip('it links as Linux does')
  const cxx = compilers.filter(has)
  if (cxx.length === 0) return skip('no C++ compiler: apt install g++')
  const memory = sanitizing('address,undefined')
  const threads = sanitizing('thread')

  const kernels = await build('address', 'kernels', {
    ...program,
    cxx,
    flags: memory,
    linkFlags: [failingMemory, ...memory],
  })
  // Fresh memory is NaN: a value that nobody wrote shows in the comparison.
  const fill = 'max_malloc_fill_size=1000000000:malloc_fill_byte=255'
  run([kernels, ...rest], { env: { ASAN_OPTIONS: `${fill}:detect_stack_use_after_return=1` } })

  // The addon in Node. The sanitizer's runtime must be there first; what Node leaves at its end is not ours.
  const addon = await build('address', 'ctflow.node', {
    ...library,
    cxx,
    flags: memory,
    linkFlags: ['-shared', ...memory],
  })
  const fuzzes = [
    ['border-fuzz.js', 1500],
    ['stored-fuzz.js', 1500],
    ['gunzip-fuzz.js', 300], // whole streams
  ]
  const runtime = spawnSync(cxx[0], ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
  for (const [fuzz, calls] of fuzzes) {
    run([process.execPath, join(root, 'dist', 'test', 'support', fuzz), addon, '2', String(calls)], {
      env: { LD_PRELOAD: runtime, ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1' },
      lastLine: true,
    })
  }

  const raced = await build('thread', 'kernels', {
    ...program,
    cxx,
    flags: threads,
    linkFlags: [failingMemory, ...threads],
  })
  run([raced, '--threads-only', ...rest])
}

/** Gives the path of what it built. */
async function build(folder, file, options) {
  const target = join(root, 'build', 'native-test', folder, file)
  await mkdir(dirname(target), { recursive: true })
  const started = performance.now()
  await buildAddon({ target, outputFolder: join(dirname(target), 'objects'), ...options })
  console.log(`${join(folder, file)}: compiled in ${seconds(started)}`)
  return target
}

/** Shows what the command says, or the last line where it says much. A status that is not 0 fails this script. */
function run([command, ...args], { env = {}, lastLine = false } = {}) {
  const started = performance.now()
  const { status, signal, stdout } = spawnSync(command, args, {
    stdio: ['ignore', lastLine ? 'pipe' : 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  if (lastLine) console.log(stdout.trimEnd().split('\n').at(-1).slice(0, 1000))
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
