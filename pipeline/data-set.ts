/** Which cases there are: a Decathlon list, a folder of scans, or phantoms. */

import { readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { phantomDataSet } from '../stages/index.ts'
import type { DataSetOptions, Task } from './definition.ts'
import { PipelineError } from './errors.ts'
import { show } from './problems.ts'
import type { Case } from './stage.ts'
import { userCacheFolder } from './user-cache.ts'

export interface DataSet {
  /** For people: where the cases come from. */
  readonly name: string
  /** The cases of a section in the order of the list; empty where the list has no such section. */
  section(name: string): readonly Case[]
  /** What a trivial method reaches on a section, where the data set knows one. */
  readonly baseline?: (section: string) => Promise<{ readonly name: string; readonly dice: number }>
}

/** The sections a task reads; the first must not be empty. */
export function sectionsOf(task: Task, options: DataSetOptions): readonly string[] {
  if (task === 'train') return ['training', 'validation', 'testing']
  return [options.section ?? (options.directory === undefined ? 'testing' : 'directory')]
}

/** Finds the cases. Throws ERR_DATASET when the list cannot be used or is empty; files are not opened here. */
export async function openDataSet(task: Task, options: DataSetOptions, output: string): Promise<DataSet> {
  const dataSet = await source(options, output)
  const first = sectionsOf(task, options)[0]!
  if (dataSet.section(first).length === 0) {
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset: ${dataSet.name}: the section "${first}" has no cases; expected at least one`,
      { section: first },
    )
  }
  if (options.predictions === undefined) return dataSet
  const folder = options.predictions
  return {
    ...dataSet,
    section: name => dataSet.section(name).map(found => ({ ...found, prediction: join(folder, `${found.id}.nii.gz`) })),
  }
}

async function source(options: DataSetOptions, output: string): Promise<DataSet> {
  if (options.directory !== undefined) return directoryOf(options.directory, output)
  if (options.list !== undefined) return listOf(options.list, options.root ?? dirname(options.list))
  const { folder = userCacheFolder('phantoms'), ...phantoms } = options.phantoms!
  const made = await phantomDataSet({ ...phantoms, folder })
  return { ...listOf(made.list, dirname(made.list)), name: `phantoms (${made.list})`, baseline: made.baseline }
}

/** A Decathlon list as MONAI and Clara write it: {"training": [{"image", "label"}], "validation": [...], "testing": [...]}. */
function listOf(list: string, root: string): DataSet {
  const content = readList(list)
  const sections = new Map<string, readonly Case[]>()
  for (const [name, entries] of Object.entries(content)) {
    if (Array.isArray(entries) && !['modality', 'labels'].includes(name))
      sections.set(
        name,
        entries.map((entry, i) => caseOf(entry, i, `${list}: /${name}/${i}`, root)),
      )
  }
  for (const [name, cases] of sections) refuseTwins(cases, `${list}: /${name}`)
  tellSectionsApart(sections)
  return { name: list, section: name => sections.get(name) ?? [] }
}

function readList(list: string): Record<string, unknown> {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(list, 'utf8'))
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message
    throw new PipelineError('ERR_DATASET', `/dataset/list: ${list}: expected a data list (JSON): ${why}`, {
      file: list,
    })
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset/list: ${list}: expected an object with "training", "validation", "testing", found ${show(content)}`,
      { file: list },
    )
  }
  return content as Record<string, unknown>
}

/** Clara's lists hold objects; Decathlon's "testing" holds plain paths of images. */
function caseOf(entry: unknown, index: number, where: string, root: string): Case {
  const { image, label } = (typeof entry === 'string' ? { image: entry } : (entry ?? {})) as {
    image?: unknown
    label?: unknown
  }
  if (typeof image !== 'string' || image === '')
    throw new PipelineError('ERR_DATASET', `${where}: expected {"image": path, "label": path}, found ${show(entry)}`)
  if (label !== undefined && (typeof label !== 'string' || label === ''))
    throw new PipelineError('ERR_DATASET', `${where}/label: expected a path, found ${show(label)}`)
  const path = resolve(root, image)
  return { id: idOf(path, root), index, image: path, ...(label !== undefined && { label: resolve(root, label) }) }
}

function directoryOf(directory: string, output: string): DataSet {
  let names: string[]
  try {
    if (!statSync(directory).isDirectory()) throw new Error('it is a file')
    names = scansBelow(directory, '', output)
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such folder' : (error as Error).message
    throw new PipelineError('ERR_DATASET', `/dataset/directory: ${directory}: expected a folder of scans: ${why}`, {
      directory,
    })
  }
  const cases = names.toSorted().map((name, index) => ({
    id: idOf(join(directory, name), directory),
    index,
    image: join(directory, name),
  }))
  refuseTwins(cases, `/dataset/directory: ${directory}`)
  return { name: directory, section: () => cases }
}

/** Paths of scans below a folder. Links to folders, hidden folders and the run's own output are left out. */
function scansBelow(directory: string, below: string, output: string): string[] {
  return readdirSync(join(directory, below), { withFileTypes: true }).flatMap(entry => {
    const name = join(below, entry.name)
    if (entry.isDirectory())
      return entry.name.startsWith('.') || join(directory, name) === output ? [] : scansBelow(directory, name, output)
    return /\.(nii|nii\.gz|hdr)$/i.test(entry.name) ? [name] : []
  })
}

/** The image's path below the root without its ending; of a path outside the root, its last two parts. */
function idOf(path: string, root: string): string {
  const below = relative(root, path)
  const name = below.startsWith('..') ? path.split(/[\\/]/).slice(-2).join('/') : below
  return name.replace(/\.(nii\.gz|nii|hdr|img)$/i, '').replaceAll('\\', '/')
}

/** Different scans of one name in two sections are told apart by the section's name. */
function tellSectionsApart(sections: Map<string, readonly Case[]>): void {
  const images = new Map<string, Set<string | undefined>>()
  for (const cases of sections.values()) {
    for (const { id, image } of cases) images.set(id, (images.get(id) ?? new Set()).add(image))
  }
  for (const [name, cases] of sections) {
    sections.set(
      name,
      cases.map(found => (images.get(found.id)!.size > 1 ? { ...found, id: `${name}/${found.id}` } : found)),
    )
  }
}

/** Two cases of one name would write one mask: refused before anything runs. */
function refuseTwins(cases: readonly Case[], where: string): void {
  const seen = new Map<string, Case>()
  for (const found of cases) {
    const twin = seen.get(found.id)
    if (twin)
      throw new PipelineError(
        'ERR_DATASET',
        `${where}: ${twin.image} and ${found.image} are both called "${found.id}"; each case must have a name of its own`,
      )
    seen.set(found.id, found)
  }
}
