/** Which files of a folder are DICOM slices. */

import { open, readdir, stat } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { unreadable } from '../stored-bytes.ts'

/** Whether a file is called as DICOM files are; a DICOMDIR, which only lists others, is not meant. */
export function isNamedDicom(path: string): boolean {
  return /\.(dcm|dicom|ima)$/i.test(path)
}

/** Names without an ending, or ending in a number: what archives export, UIDs among them. Only their content tells. */
function mayBeDicom(name: string): boolean {
  return /^(\.\d*)?$/.test(extname(name)) && basename(name).toUpperCase() !== 'DICOMDIR'
}

/** Whether a file has DICOM's magic behind its preamble; false where it cannot be read, or is a pipe or a device. */
export async function isDicomFile(path: string): Promise<boolean> {
  // Opening a pipe waits for whoever writes into it, and may wait for ever.
  const isFile = await stat(path).then(
    found => found.isFile(),
    () => false,
  )
  const file = isFile ? await open(path).catch(() => undefined) : undefined
  if (!file) return false
  try {
    const magic = new Uint8Array(4)
    const { bytesRead } = await file.read(magic, 0, 4, 128)
    return bytesRead === 4 && String.fromCharCode(...magic) === 'DICM'
  } catch {
    return false
  } finally {
    await file.close()
  }
}

/**
 * The paths of a folder's DICOM files, sorted by name: those called .dcm, .dicom or .ima, and those without an ending whose
 * content says so. Hidden files, a DICOMDIR and anything else are left out; folders below are not searched.
 */
export async function dicomFilesOf(folder: string): Promise<string[]> {
  const names = await namesIn(folder)
  const found: string[] = []
  for (const name of names) if (await isSlice(folder, name)) found.push(join(folder, name))
  return found
}

/** Whether a folder has a DICOM file in it; `names` are those of its files. */
export async function holdsDicom(folder: string, names: readonly string[]): Promise<boolean> {
  if (names.some(name => !name.startsWith('.') && isNamedDicom(name))) return true
  for (const name of names) if (await isSlice(folder, name)) return true
  return false
}

async function isSlice(folder: string, name: string): Promise<boolean> {
  if (name.startsWith('.')) return false
  return isNamedDicom(name) || (mayBeDicom(name) && (await isDicomFile(join(folder, name))))
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries
      .filter(entry => entry.isFile() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .toSorted()
  } catch (error) {
    throw unreadable(folder, error)
  }
}
