/** The data set of a DICOM file up to its pixels, which are not read. */

import { open } from 'node:fs/promises'
import { inflateRawSync } from 'node:zlib'
import dicomParser, { type DataSet } from 'dicom-parser'
import { messageOf, PipelineError } from '../../pipeline/errors.ts'
import { fingerprintOf, unreadable, type Fingerprint } from '../stored-bytes.ts'

/** A DICOM file of which what lies before its pixels has been read. */
export interface DicomHeader {
  readonly path: string
  readonly fingerprint: Fingerprint
  readonly dataSet: DataSet
  /** UID of the transfer syntax. */
  readonly syntax: string
  /** Bytes of the data set: the file's, or what it inflates to. */
  readonly size: number
}

export const pixelData = 'x7fe00010'
const deflatedSyntax = '1.2.840.10008.1.2.1.99'

/** Enough for nearly every header; what is longer is read in larger steps. */
const firstStep = 1 << 16
/** Of a header: what is longer is no slice of a scan. */
const mostHeaderBytes = 1 << 28
/** Of a deflated file: one slice, and not an archive in disguise. */
const mostInflatedBytes = 1 << 28

/** Reads a header. ERR_FILE: cannot be read, is no DICOM file (PS3.10), or damaged before its pixels. */
export async function readHeader(path: string): Promise<DicomHeader> {
  try {
    const fingerprint = await fingerprintOf(path)
    const file = await open(path)
    try {
      for (let wanted = firstStep; ; wanted *= 16) {
        const bytes = Buffer.alloc(Math.min(wanted, fingerprint.size, mostHeaderBytes))
        let filled = 0
        for (let read = 1; read > 0 && filled < bytes.length; filled += read)
          read = (await file.read(bytes, filled, bytes.length - filled, filled)).bytesRead
        const isWhole = bytes.length === fingerprint.size
        const header = parsed(path, fingerprint, bytes.subarray(0, filled), isWhole)
        if (header) return header
        if (bytes.length === mostHeaderBytes)
          throw damaged(path, `no pixels in its first ${mostHeaderBytes} bytes; is it a slice of a scan?`)
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** The header, or undefined where it goes on behind `bytes`. */
function parsed(path: string, fingerprint: Fingerprint, bytes: Buffer, isWhole: boolean): DicomHeader | undefined {
  if (bytes.length < 132 || bytes.toString('latin1', 128, 132) !== 'DICM') {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected a DICOM file ("DICM" at byte 128), found ${bytes.length < 132 ? `${bytes.length} bytes` : JSON.stringify(bytes.toString('latin1', 128, 132))}; export it anew as DICOM Part 10, or move it out of the folder`,
      { path },
    )
  }
  let dataSet: DataSet
  try {
    // Its types say `void` for what must be the inflated bytes behind the meta header.
    const inflater = (all: Uint8Array, position: number): Uint8Array => inflated(all, position)
    dataSet = dicomParser.parseDicom(bytes, { untilTag: pixelData, inflater })
  } catch (error) {
    if (!isWhole) return undefined
    throw damaged(path, `${wordsOf(error)}; copy it again`)
  }
  const syntax = readingOf(path, () => dataSet.string('x00020010') ?? '')
  if (dataSet.elements[pixelData] === undefined && !isWhole) return undefined
  return {
    path,
    fingerprint,
    dataSet,
    syntax,
    size: syntax === deflatedSyntax ? dataSet.byteArray.length : fingerprint.size,
  }
}

/** The file with what lies behind its meta header inflated. */
export function inflated(bytes: Uint8Array, position: number): Uint8Array {
  const rest = inflateRawSync(bytes.subarray(position), { maxOutputLength: mostInflatedBytes })
  return Buffer.concat([bytes.subarray(0, position), rest])
}

function damaged(path: string, found: string): PipelineError {
  return new PipelineError('ERR_FILE', `${path}: expected a DICOM data set, found it damaged: ${found}`, { path })
}

/** What `work` reads of a data set; ERR_FILE where an element turns out to go on behind the end of the file. */
export function readingOf<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error) throw error
    throw damaged(path, `${wordsOf(error)}; copy it again`)
  }
}

/** dicom-parser throws strings, and objects around them. */
function wordsOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'exception' in error) return wordsOf(error.exception)
  return messageOf(error).replace(/^dicomParser\.\w+: /, '')
}
