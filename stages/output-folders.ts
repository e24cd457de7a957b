/** Folders that stages write to: no two of them write the same files. */

import { PipelineError } from '../pipeline/errors.ts'

type Options = { readonly kind: string } & Readonly<Record<string, unknown>>

/** Names that a run uses in its output folder, with those of shards and of what was set aside. */
const runFiles = /^(superseded|interrupted.*|.*\.(jsonl?|txt|safetensors))$/

/** What a stage calls the folders that it fills. */
function foldersOf({ kind, folder, probabilities }: Options): unknown[] {
  return kind === 'save' ? [folder] : kind === 'infer' && probabilities !== undefined ? [probabilities] : []
}

/** Throws ERR_DEFINITION where the stage writes to a folder that one before it fills, or that is the run's. */
export function expectOwnFolder(stage: Options, before: readonly Options[]): void {
  const taken = before.flatMap(foldersOf)
  const ofTheRun = foldersOf(stage).find(folder => runFiles.test(String(folder)))
  if (ofTheRun !== undefined) {
    throw new PipelineError(
      'ERR_DEFINITION',
      `${stage.kind}: expected the name of a folder, found "${String(ofTheRun)}", which the run uses itself; choose another one`,
      { folder: ofTheRun },
    )
  }
  const shared = foldersOf(stage).find(folder => taken.includes(folder))
  if (shared === undefined) return
  throw new PipelineError(
    'ERR_DEFINITION',
    `${stage.kind}: expected a folder of its own, found "${String(shared)}", which a stage before it fills with files of the same names; choose another one`,
    { folder: shared },
  )
}
