/**
 * Compiles native/src into build/ctflow.node with the machine's own C++ compiler: no node-gyp, no Python, no download
 * (the headers of Node-API come from npm). Only what changed is compiled again. `node scripts/build-addon.mjs` runs it.
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const require = createRequire(import.meta.url)
export const root = fileURLToPath(new URL('..', import.meta.url))
const nativeFolder = join(root, 'native')
export const sourceFolder = join(nativeFolder, 'src')

const isMac = process.platform === 'darwin'

/** -ffast-math stays away: it would make results depend on how the compiler reorders sums. */
const common = [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-pthread',
  '-DNAPI_VERSION=8',
  '-DNAPI_CPP_EXCEPTIONS',
]
const avx512 = '-mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512'.split(' ')
/** What a file named so may use; such files run only where the processor has it. NEON is in every 64-bit ARM. */
const instructionSets = [
  { ending: 'neon.cc', arch: 'arm64', flags: [] },
  { ending: 'avx2.cc', arch: 'x64', flags: ['-mavx2', '-mfma'] },
  { ending: 'avx512.cc', arch: 'x64', flags: avx512 },
  { ending: 'avx512bf16.cc', arch: 'x64', flags: [...avx512, '-mavx512bf16'] },
]

/** Voxels are the same bits on every processor: a multiplication and an addition must not become one rounding. */
const imagingFolder = join(sourceFolder, 'imaging')
const imagingFlags = ['-ffp-contract=off']

/** How the addon is linked: Node brings the functions of Node-API. */
const addonLinkFlags = ['-shared', ...(isMac ? ['-undefined', 'dynamic_lookup'] : ['-static-libgcc'])]

/**
 * Compiles and links what is out of date: the addon, or what tests make of the same sources. Rejects with a message that
 * says what to install or what the compiler said.
 */
export async function buildAddon({
  target = join(root, 'build', 'ctflow.node'),
  /** For object files; a folder belongs to one set of flags. */
  outputFolder = join(root, 'build', 'native'),
  arch = process.arch,
  cxx = [process.env.CXX, 'g++', 'clang++', 'c++'],
  /** After the usual ones, so that they win. */
  flags = [],
  linkFlags = addonLinkFlags,
  folders = [sourceFolder],
  /** Which .cc files of the folders belong to the target; what others left in outputFolder stays. */
  includes = () => true,
} = {}) {
  await mkdir(outputFolder, { recursive: true })
  const compiler = await findCompiler(cxx.filter(Boolean))
  const includeFolders = [
    require('node-api-headers').include_dir,
    dirname(require.resolve('node-addon-api')),
    sourceFolder,
  ]
  const files = (await Promise.all(folders.map(listFiles))).flat()
  const headers = await hashOf(
    files.filter(file => /\.(h|inc)$/.test(file)),
    [
      compiler.version,
      require('node-addon-api/package.json').version,
      require('node-api-headers/package.json').version,
    ],
  )
  const all = files
    .filter(file => file.endsWith('.cc'))
    .map(source => ({ source, set: instructionSets.find(({ ending }) => source.endsWith(ending)) }))
    .filter(({ set }) => set === undefined || set.arch === arch)
    .map(({ source, set }) => ({
      source,
      object: join(outputFolder, relative(nativeFolder, source).replaceAll(/[/\\]/g, '.').replace(/\.cc$/, '.o')),
      flags: [
        ...common,
        ...(set?.flags ?? []),
        ...(source.startsWith(imagingFolder) ? imagingFlags : []),
        ...flags,
        ...includeFolders.map(folder => `-I${folder}`),
      ],
    }))
  const objects = all.filter(({ source }) => includes(source))

  // The longest first, so that no core idles while the last one compiles.
  const queue = objects.toSorted((a, b) => weight(b.source) - weight(a.source))
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await compile(compiler, job, headers)
  }
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker))
  await link(compiler, objects, headers, target, linkFlags)
  await removeStale(outputFolder, all)
}

async function compile(compiler, { source, object, flags }, headers) {
  const stamp = await hashOf([source], [headers, ...flags])
  if (existsSync(object) && (await readStamp(object)) === stamp) return
  await run(compiler, [...flags, '-c', source, '-o', object])
  await writeFile(`${object}.hash`, stamp)
}

/** The finished addon replaces the old one in one step: a running process keeps the file it has loaded. */
async function link(compiler, objects, headers, target, flags) {
  const list = objects.map(({ object }) => object)
  const stamps = await Promise.all(list.map(readStamp))
  const stamp = await hashOf([], [headers, ...flags, ...stamps])
  if (existsSync(target) && (await readStamp(target)) === stamp) return
  const fresh = `${target}.${process.pid}`
  await run(compiler, ['-pthread', ...flags, ...list, '-o', fresh])
  await rename(fresh, target)
  await writeFile(`${target}.hash`, stamp)
}

async function run(compiler, args) {
  try {
    const { stderr } = await execute(compiler.path, args, { maxBuffer: 1 << 24 })
    if (stderr !== '') console.warn(stderr)
  } catch (error) {
    throw new Error(`the C++ addon does not compile with ${compiler.path}:\n${error.stderr ?? error.message}`, {
      cause: error,
    })
  }
}

async function findCompiler(candidates) {
  for (const path of candidates) {
    try {
      return { path, version: (await execute(path, ['--version'])).stdout }
    } catch {
      // not installed: the next one
    }
  }
  throw new Error(
    `no C++ compiler found (tried ${candidates.join(', ')}), and the native backend is compiled at install. Install one, ` +
      'then run "npm rebuild" again. Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install; ' +
      'elsewhere set CXX to the compiler.',
  )
}

async function removeStale(outputFolder, objects) {
  const wanted = new Set(objects.flatMap(({ object }) => [object, `${object}.hash`]))
  for (const file of await listFiles(outputFolder)) if (!wanted.has(file)) await rm(file, { force: true })
}

async function listFiles(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .toSorted()
}

async function hashOf(files, words) {
  const hash = createHash('sha256')
  for (const word of words) hash.update(`${word}\0`)
  for (const file of files) hash.update(`${relative(root, file)}\0`).update(await readFile(file))
  return hash.digest('hex')
}

async function readStamp(file) {
  return readFile(`${file}.hash`, 'utf8').catch(() => '')
}

/** A guess at how long a file takes: templates of convolutions longest, napi.h next. */
function weight(source) {
  if (/conv3d.*(avx|neon)/.test(source)) return 3
  return source.endsWith('addon.cc') ? 2 : 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await buildAddon()
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
