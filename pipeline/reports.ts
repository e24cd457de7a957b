/** Reports in an output folder: `reports/<id>/` for each evaluation, `latest` that leads to the newest, and how many stay. */

import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { readReport } from '../stages/index.ts'
import type { Report } from '../schemas/report.ts'
import { messageOf, PipelineError } from './errors.ts'
import { makeFolder } from './make-folder.ts'
import { notWritable } from './not-writable.ts'
import { inTheWay, type RunFolder } from './run-folder.ts'

const folderName = 'reports'
const linkName = 'latest'
const idPattern = /^(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z)(?:-(\d+))?$/

/** Where a report is, or will be. */
export function reportFolder(output: string, id: string): string {
  return join(output, folderName, id)
}

/** The file of a report that is named by it or by its folder. */
export function reportFile(path: string): string {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, 'report.json') : path
}

/** A name that no report of the output has: `2026-11-29T19-36-09Z`, with `-2` and so on where it is taken. */
export function newReportId(output: string, created: Date): string {
  const base = `${created.toISOString().slice(0, 19).replaceAll(':', '-')}Z`
  let id = base
  for (let i = 2; existsSync(reportFolder(output, id)); i++) id = `${base}-${i}`
  return id
}

/** Oldest first; only folders with such a name that hold a report.json. */
export function reportIds(output: string): string[] {
  const folder = join(output, folderName)
  if (!existsSync(folder)) return []
  const ids = readdirSync(folder).filter(id => idPattern.test(id) && existsSync(join(folder, id, 'report.json')))
  return ids.toSorted(byAge)
}

function byAge(one: string, other: string): number {
  const [[, a = '', i = '1'], [, b = '', j = '1']] = [one, other].map(id => idPattern.exec(id)!) as [
    RegExpExecArray,
    RegExpExecArray,
  ]
  return a === b ? Number(i) - Number(j) : a < b ? -1 : 1
}

/** The newest report of the output that is wanted and can be read; `note` is told of those that cannot. */
export function previousReport(
  output: string,
  note: (text: string) => void,
  isWanted: (report: Report) => boolean = () => true,
): Report | undefined {
  for (const id of reportIds(output).toReversed()) {
    try {
      const report = readReport(reportFile(reportFolder(output, id)))
      if (isWanted(report)) return report
    } catch (error) {
      note(`not compared with ${id}: ${messageOf(error)}`)
    }
  }
  return undefined
}

type Places = Pick<RunFolder, 'output' | 'staging'>

/** ERR_OUTPUT where something that is no report's is in the way of one, or where one rename would not lead there. */
export function checkPlaces({ output, staging }: Places): void {
  const [reports, link] = [folderName, linkName].map(name => lstatSync(join(output, name), { throwIfNoEntry: false }))
  if (reports && !isFolder(join(output, folderName))) throw inTheWay(join(output, folderName), 'a file')
  refuseOtherDisk(reports ? join(output, folderName) : output, staging)
  if (!link || link.isSymbolicLink() || isPointer(join(output, linkName))) return
  throw inTheWay(join(output, linkName), link.isDirectory() ? 'a folder' : 'a file')
}

/** A report appears whole by a rename, which no two file systems have between them. */
function refuseOtherDisk(folder: string, staging: string): void {
  if (statSync(folder).dev === statSync(staging).dev) return
  throw new PipelineError(
    'ERR_OUTPUT',
    `${folder}: expected a folder on the file system of "output", where reports are made, found one on another; put the whole "output" there, be it by a link, and a plain folder here`,
    { path: folder },
  )
}

function isFolder(path: string): boolean {
  try {
    return lstatSync(realpathSync(path)).isDirectory()
  } catch {
    return false
  }
}

/** Whether it is what stands for the link where there are no links. */
function isPointer(path: string): boolean {
  const status = lstatSync(path)
  return status.isFile() && status.size < 100 && /^reports\/[^/]+\n$/.test(readFileSync(path, 'utf8'))
}

/**
 * Moves a finished report, which lies in the run's staging folder, to its place with one rename, and lets `latest` lead to
 * it with another: whoever looks finds the last one or this one, whole. ERR_OUTPUT.
 */
export function publishReport(
  { output, staging }: Places,
  from: string,
  id: string,
  note: (text: string) => void,
): void {
  const to = reportFolder(output, id)
  try {
    checkPlaces({ output, staging })
    makeFolder(join(output, folderName))
    // After a power cut, names without content would be worse than the report before.
    for (const name of readdirSync(from)) flush(join(from, name))
    flush(from)
    renameSync(from, to)
    flush(join(output, folderName))
    // What is unfinished is in the staging folder, which the next run removes.
    const link = join(staging, linkName)
    rmSync(link, { force: true })
    linkTo(`${folderName}/${id}`, link, note)
    renameSync(link, join(output, linkName))
  } catch (error) {
    throw error instanceof Error && error.name === 'PipelineError' ? error : notWritable(to, error)
  }
}

/** Waits until a file, or the names in a folder, are on the disk. */
function flush(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } catch (error) {
    // File systems that cannot do it for folders.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw error
  } finally {
    closeSync(file)
  }
}

/** What file systems without symbolic links answer, and systems where one may not make them. */
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'])

function linkTo(target: string, path: string, note: (text: string) => void): void {
  try {
    symlinkSync(target, path)
  } catch (error) {
    if (!noLinks.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    note(`${linkName}: symbolic links cannot be made here, so it is a text file that names the newest report`)
    writeFileSync(path, `${target}\n`)
  }
}

/**
 * Removes the oldest reports beyond `keep`, and nothing else; `spared` stay, be they ids or paths. What cannot be removed is
 * told to `note`. Each goes from its place as a whole.
 */
export function removeOldReports(
  { output, scratch }: Pick<RunFolder, 'output' | 'scratch'>,
  { keep, spared }: { readonly keep: number; readonly spared: readonly string[] },
  note: (text: string) => void,
): void {
  const ids = reportIds(output)
  const stays = new Set(spared.flatMap(path => [path, realPath(path)]))
  const old = ids.slice(0, Math.max(0, ids.length - keep))
  for (const id of old) {
    const folder = reportFolder(output, id)
    if (stays.has(id) || stays.has(realPath(folder))) continue
    try {
      // Not among what is published, should it stay.
      const aside = join(scratch, `old-${id}`)
      renameSync(folder, aside)
      rmSync(aside, { recursive: true, force: true })
    } catch (error) {
      note(`${folder}: an old report that cannot be removed: ${messageOf(error)}`)
    }
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
