/**
 * `npm run bundle`: one archive with Node.js, ctflow, the packages it uses, its addon and its benches, for a host that can
 * install nothing: build/ctflow-VERSION-linux-ARCH.tar.gz. The same commit gives the same bytes on the same machine.
 */

import { chmodSync, copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { create } from 'tar'
import { commit, commitTime, projectRoot } from '../bench/machine.ts'
import { formatBytes } from '../pipeline/bytes.ts'
import { messageOf } from '../pipeline/errors.ts'
import { version } from '../pipeline/version.ts'
import { bundleFiles } from './bundle/files.ts'
import { dynamicLoader, glibcNeeded, hostLibrary, withDependencies, type HostLibrary } from './bundle/libraries.ts'
import { filled } from './bundle/texts.ts'
import { licenseTexts } from './bundle/licenses.ts'

/** What may be carried: a hospital's mail or ticket system is often the only way in. */
const mostBytes = 64e6

const root = projectRoot()
const name = `ctflow-${version()}-linux-${process.arch}`
const folder = join(root, 'build', 'bundle', name)
const archive = join(root, 'build', `${name}.tar.gz`)

/** Node's own, where its archives, distributions' packages and npm's packages of it have it. */
function nodeLicense(): string {
  const prefix = dirname(dirname(process.execPath))
  const places = [
    join(prefix, 'LICENSE'),
    join(prefix, 'share/doc/nodejs/LICENSE'),
    join(prefix, 'share/doc/node/LICENSE'),
  ]
  const found = places.find(place => statSync(place, { throwIfNoEntry: false })?.isFile())
  if (found === undefined)
    throw new Error(`expected the licence of Node.js at one of ${places.join(', ')}, found none; put it at the first`)
  return found
}

function copy(from: string, to: string): void {
  const target = join(folder, to)
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(from, target)
}

function write(to: string, text: string): void {
  mkdirSync(dirname(join(folder, to)), { recursive: true })
  writeFileSync(join(folder, to), text)
}

/** By folder of lib/; the launcher knows when each is needed. */
const wanted: Readonly<Record<string, readonly string[]>> = {
  'c++': ['libstdc++.so.6'],
  vulkan: ['libvulkan.so.1'],
  x11: ['libXext.so.6'],
  egl: ['libEGL.so.1'],
}

function copyLibraries(): HostLibrary[] {
  return Object.entries(wanted).flatMap(([place, sonames]) => {
    const found = sonames.flatMap(withDependencies).map(hostLibrary)
    const missing = found.find(library => 'missing' in library)
    if (missing && 'missing' in missing) {
      console.error(`lib/${place} is left out: ${missing.missing}. Hosts need a ${sonames[0]} of their own`)
      return []
    }
    return (found as HostLibrary[]).map(library => {
      copy(library.path, `lib/${place}/${library.soname}`)
      for (const text of library.licenses)
        copy(text, `licenses/${library.soname}/${basename(text) === 'copyright' ? 'copyright.txt' : basename(text)}`)
      return library
    })
  })
}

async function make(): Promise<void> {
  if (process.platform !== 'linux') throw new Error(`a bundle is made on Linux, for Linux; this is ${process.platform}`)
  rmSync(folder, { recursive: true, force: true })
  const files = await bundleFiles(root)
  for (const path of files) copy(join(root, path), `app/${path}`)
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as object
  write('app/package.json', `${JSON.stringify({ ...own, gitHead: commit() }, undefined, 2)}\n`)
  copy(process.execPath, 'node/node')
  copy(nodeLicense(), 'licenses/node.txt')
  const libraries = copyLibraries()
  for (const [name, text] of licenseTexts(root, files, libraries)) write(`licenses/${name}`, text)
  copy(join(root, 'LICENSE'), 'licenses/ctflow.txt')

  const programs = ['node/node', ...files.filter(path => path.endsWith('.node')).map(path => `app/${path}`)]
  const glibc = glibcNeeded(programs.map(path => join(folder, path)))
  const values = {
    VERSION: version(),
    COMMIT: `commit ${commit()}`,
    ARCH: process.arch,
    NODE: process.version,
    GLIBC: glibc,
    LOADER: dynamicLoader,
    FILES: programs.map(path => `"$here/${path}"`).join(' '),
    LIBRARIES: libraries.length === 0 ? 'none' : libraries.map(({ soname }) => soname).join(', '),
  }
  const launchers = { 'run-pipeline': 'dist/bin/run-pipeline.js', bench: 'dist/bench/main.js' }
  for (const [launcher, program] of Object.entries(launchers))
    write(launcher, filled('launcher.sh', { ...values, PROGRAM: program }))
  write('README.txt', filled('README.txt', values))

  const members = filesBelow(folder)
  const programsOf = new Set([...Object.keys(launchers), 'node/node'])
  for (const path of members) chmodSync(join(folder, path), programsOf.has(path) ? 0o755 : 0o644)
  await pack(members)
}

/** Names in order, one time for all, nobody's: what else a file system knows is not the commit's. */
async function pack(members: readonly string[]): Promise<void> {
  const seconds = Number(process.env['SOURCE_DATE_EPOCH'] ?? commitTime())
  if (!Number.isInteger(seconds))
    throw new Error(`SOURCE_DATE_EPOCH: expected seconds since 1970, found "${process.env['SOURCE_DATE_EPOCH']}"`)
  const options = {
    file: archive,
    cwd: dirname(folder),
    gzip: { level: 9 },
    portable: true,
    mtime: new Date(seconds * 1000),
  }
  await create(
    options,
    members.map(path => `${name}/${path}`),
  )
  rmSync(dirname(folder), { recursive: true })
  const { size } = statSync(archive)
  if (size > mostBytes) throw new Error(`${archive}: ${formatBytes(size)}, more than ${formatBytes(mostBytes)}`)
  console.log(`${archive}: ${members.length} files, ${(size / 1e6).toFixed(1)} MB`)
}

/** Sorted. */
function filesBelow(place: string): string[] {
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(place.length + 1))
    .toSorted()
}

try {
  await make()
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
