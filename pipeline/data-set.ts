/** Which cases there are: a Decathlon list, a folder of scans, single files, or phantoms. */

import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import picomatch from 'picomatch'
import { holdsDicom, phantomDataSet } from '../stages/index.ts'
import type { DataSetOptions, Task } from './definition.ts'
import { PipelineError } from './errors.ts'
import { show } from './problems.ts'
import type { Case } from './flow.ts'
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
  const whole = options.directory !== undefined ? 'directory' : options.files && 'files'
  return [options.section ?? whole ?? 'testing']
}

/**
 * Finds the cases. Throws ERR_DATASET when the list cannot be used or is empty; files are not opened here, and a case that
 * cannot be used has a `problem`. Where masks of others are compared (`comparesMasks`), those that are not there are missing,
 * and ERR_DATASET says so where there is not one.
 */
export async function openDataSet(
  task: Task,
  options: DataSetOptions,
  output: string,
  comparesMasks = false,
): Promise<DataSet> {
  const dataSet = await source(options, output)
  const first = sectionsOf(task, options)[0]!
  if (dataSet.section(first).length === 0) {
    const chosen = options.include ?? options.exclude
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset: ${dataSet.name}: the section "${first}" has no cases; expected at least one${chosen === undefined ? '' : '. Do "include" and "exclude" say what you mean?'}`,
      { section: first },
    )
  }
  const { predictions, lungs } = options
  const withMasks = (found: Case): Case => ({
    ...found,
    ...(predictions !== undefined && { prediction: maskIn(predictions, found) }),
    ...(lungs !== undefined && { lungs: maskIn(lungs, found) }),
  })
  const named: DataSet = { ...dataSet, section: name => dataSet.section(name).map(withMasks) }
  if (!comparesMasks) return named
  // Looked at once: masks that are made meanwhile are for the next evaluation.
  const compared = withMissing(named.section(first), predictions ?? dataSet.name)
  return { ...named, section: name => (name === first ? compared : named.section(name)) }
}

/** The cases, those whose mask is not there marked; where no case has one the path is wrong, or the masks are yet to be made. */
function withMissing(cases: readonly Case[], where: string): readonly Case[] {
  if (cases.every(({ prediction }) => prediction === undefined)) {
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset: ${where}: nothing to evaluate: no case has a "prediction"; name the folder of masks with "predictions", or run the network with the stage "infer"`,
    )
  }
  const marked = cases.map(found =>
    found.prediction !== undefined && existsSync(found.prediction) ? found : { ...found, isMissing: true },
  )
  if (marked.every(({ isMissing }) => isMissing)) {
    const example = cases.find(({ prediction }) => prediction !== undefined)!.prediction!
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset: ${where}: expected masks of ${cases.length} cases, found not one of them, such as ${example}; is the path right, and are they named as "save" names them?`,
      { path: example, cases: cases.length },
    )
  }
  return marked
}

/** Masks are named as `save` names them. */
function maskIn(folder: string, { id }: Case): string {
  return join(folder, `${id}.nii.gz`)
}

async function source(options: DataSetOptions, output: string): Promise<DataSet> {
  if (options.directory !== undefined) return directoryOf(options.directory, options, output)
  if (options.files !== undefined) return filesOf(options.files, options.root!)
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
  const { image, label, lungs, prediction, ...others } = (
    typeof entry === 'string' ? { image: entry } : (entry ?? {})
  ) as { readonly [name: string]: unknown }
  const images = Array.isArray(image) ? (image as readonly unknown[]) : [image]
  if (images.length === 0 || !images.every(path => typeof path === 'string' && path !== ''))
    throw new PipelineError('ERR_DATASET', `${where}: expected {"image": path, "label": path}, found ${show(entry)}`)
  const paths = images.map(path => resolve(root, path as string))
  const id = idOf(paths[0]!, root)
  if (paths.length > 1)
    return {
      id,
      index,
      problem: `${where}/image: expected one image per case, found ${paths.length}: ${paths.join(', ')}`,
    }
  const masks = Object.entries({ label, lungs, prediction }).filter(([, path]) => path !== undefined)
  for (const [name, path] of masks) {
    if (typeof path !== 'string' || path === '')
      throw new PipelineError('ERR_DATASET', `${where}/${name}: expected a path, found ${show(path)}`)
  }
  return {
    id,
    index,
    image: paths[0]!,
    ...Object.fromEntries(masks.map(([name, path]) => [name, resolve(root, path as string)])),
    ...fieldsOf(others),
  }
}

/** What else an entry says in a word or a number. */
function fieldsOf(others: { readonly [name: string]: unknown }): Pick<Case, 'fields'> {
  const told = Object.entries(others).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
  return told.length === 0 ? {} : { fields: Object.fromEntries(told.map(([name, value]) => [name, String(value)])) }
}

function filesOf(files: readonly string[], root: string): DataSet {
  const cases = files.map((image, index) => ({ id: idOf(image, root), index, image }))
  refuseTwins(cases, '/dataset/files')
  return { name: `${files.length} files`, section: () => cases }
}

async function directoryOf(
  directory: string,
  { include, exclude }: Pick<DataSetOptions, 'include' | 'exclude'>,
  output: string,
): Promise<DataSet> {
  const isWanted = chosenBy(include, exclude)
  let names: string[]
  try {
    if (!statSync(directory).isDirectory()) throw new Error('it is a file')
    refuseOwnOutput(directory, output)
    names = (await scansBelow(directory, '', output)).filter(isWanted)
  } catch (error) {
    if (error instanceof PipelineError) throw error
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such folder' : (error as Error).message
    throw new PipelineError('ERR_DATASET', `/dataset/directory: ${directory}: expected a folder of scans: ${why}`, {
      directory,
    })
  }
  const cases = names.toSorted().map((name, index) => {
    const image = join(directory, name)
    return { id: idOf(image, directory), index, image }
  })
  refuseTwins(cases, `/dataset/directory: ${directory}`)
  return { name: directory, section: () => cases }
}

/** Masks of the run would be scans of the next one. */
function refuseOwnOutput(directory: string, output: string): void {
  if (isSame(directory, output))
    throw new PipelineError(
      'ERR_DATASET',
      `/dataset/directory: ${directory}: this is "output" too, and masks would be taken for scans; choose another "output", be it a folder in this one`,
      { directory },
    )
}

/** Whether two paths lead to one folder, by whatever links; a folder that is not there is none. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [one, other].map(path => {
    try {
      return realpathSync(path)
    } catch {
      return path
    }
  })
  return a === b
}

/**
 * Paths of scans below a folder, in no order: files by their names, and folders that hold DICOM slices. Links to folders,
 * hidden files and folders and the run's own output are left out.
 */
async function scansBelow(directory: string, below: string, output: string): Promise<string[]> {
  const folder = join(directory, below)
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'))
  const files = entries.filter(entry => !entry.isDirectory()).map(({ name }) => name)
  const found = files.filter(name => /\.(nii|nii\.gz|hdr)$/i.test(name)).map(name => join(below, name))
  if (await holdsDicom(folder, files)) found.push(below)
  for (const entry of entries) {
    const name = join(below, entry.name)
    if (entry.isDirectory() && !isSame(join(directory, name), output))
      found.push(...(await scansBelow(directory, name, output)))
  }
  return found
}

/** Whether a path below the directory is wanted: by one of the patterns to include, and by none of those to exclude. */
function chosenBy(include: Patterns = '**', exclude: Patterns = []): (name: string) => boolean {
  const [isIn, isOut] = [include, exclude].map(patterns => picomatch([patterns].flat()))
  return name => {
    // The directory itself, where slices lie in it: no pattern that tells its files apart is meant for it.
    if (name === '') return !isOut!('.')
    const path = name.replaceAll('\\', '/')
    return isIn!(path) && !isOut!(path)
  }
}

type Patterns = string | readonly string[]

/** The image's path below the root without its ending; of a path outside the root, its last two parts. */
function idOf(path: string, root: string): string {
  const below = relative(root, path)
  const name = below === '' ? basename(path) : below.startsWith('..') ? path.split(/[\\/]/).slice(-2).join('/') : below
  return name.replace(/\.(nii\.gz|nii|hdr|img|dcm|dicom|ima)$/i, '').replaceAll('\\', '/')
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
