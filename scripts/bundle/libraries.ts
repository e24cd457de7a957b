/**
 * Libraries of the building machine that a host with nothing but a GPU driver may lack: the C++ runtime, Vulkan's loader, and
 * what NVIDIA's driver wants of a desktop even where there is none.
 * They come with their licences or not at all. Linux with glibc.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

export interface HostLibrary {
  /** As programs ask for it. */
  readonly soname: string
  readonly path: string
  /** The distribution's package with its version, and the source package where it says so. */
  readonly package: string
  readonly source: string
  /** Files with its licence. */
  readonly licenses: readonly string[]
}

/** The library that a program here would get, or why it cannot be handed on. */
export function hostLibrary(soname: string): HostLibrary | { readonly missing: string } {
  const path = pathOf(soname)
  if (path === undefined) return { missing: `${soname} is not on this machine` }
  const owner = packageOf(path)
  if (!owner) return { missing: `no package of this machine says that ${path} is its own` }
  const licenses = licensesOf(owner.name)
  if (licenses.length === 0) return { missing: `the package ${owner.name} has no licence text on this machine` }
  return { soname, path, package: `${owner.name} ${owner.version}`, source: owner.source, licenses }
}

/** The libraries that a program here would get with this one, by name; without glibc's, which every host has. */
export function withDependencies(soname: string): string[] {
  const path = pathOf(soname)
  const listed = path === undefined ? '' : (output(dynamicLoader, ['--list', path]) ?? '')
  const names = [...listed.matchAll(/^\s*(\S+) => \//gm)].map(([, name]) => name!)
  return [soname, ...names.filter(name => !glibc.test(name))]
}

const glibc = /^(ld-linux.*|lib(c|m|dl|pthread|rt|resolv)\.so\.\d+)$/

/** The newest version of glibc's symbols that one of these files asks for: `2.35`. */
export function glibcNeeded(files: readonly string[]): string {
  const minors = files.flatMap(file =>
    [...readFileSync(file, 'latin1').matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor)),
  )
  return `2.${Math.max(...minors)}`
}

/** Starts every program here, and can say which libraries it would get: where the ABI of this processor has it. */
export const dynamicLoader = process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2'

function pathOf(soname: string): string | undefined {
  const listed = output('ldconfig', ['-p']) ?? output('/sbin/ldconfig', ['-p']) ?? ''
  const kind = process.arch === 'arm64' ? 'AArch64' : 'x86-64'
  const line = listed.split('\n').find(line => line.trim().startsWith(`${soname} `) && line.includes(kind))
  return line?.split(' => ')[1]?.trim()
}

interface Owner {
  readonly name: string
  readonly version: string
  readonly source: string
}

function packageOf(path: string): Owner | undefined {
  // Packages name the path that they were built for, before /lib became a link to /usr/lib.
  for (const candidate of [path, `/usr${path}`, realpathSync(path)]) {
    const found = output('dpkg-query', ['-S', candidate])
    const name = found?.split(': ')[0]
    if (!name) continue
    const format = '${Package}\n${Version}\n${source:Package} ${source:Version}'
    const [plain, version, source] = output('dpkg-query', ['-W', '-f', format, name])!.split('\n')
    return { name: plain!, version: version!, source: source! }
  }
  const [name, version, source] =
    output('rpm', ['-qf', '--qf', '%{NAME}\n%{VERSION}-%{RELEASE}\n%{SOURCERPM}', realpathSync(path)])?.split('\n') ??
    []
  return name && version && source ? { name, version, source } : undefined
}

/** Debian's file, with the texts that it refers to, or all of Fedora's folder. */
function licensesOf(name: string): string[] {
  const debian = `/usr/share/doc/${name}/copyright`
  if (existsSync(debian)) {
    const common = [...readFileSync(debian, 'utf8').matchAll(/\/usr\/share\/common-licenses\/[\w.-]*\w/g)]
    return [debian, ...new Set(common.map(([path]) => path).filter(path => existsSync(path)))]
  }
  const folder = `/usr/share/licenses/${name}`
  return existsSync(folder) ? readdirSync(folder).map(file => join(folder, file)) : []
}

/** undefined where the program is not there or has no answer. */
function output(file: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}
