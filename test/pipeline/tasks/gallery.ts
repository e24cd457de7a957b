import t from 'tap'
import { maskOf } from '../../../imaging/mask.ts'
import { PipelineError, type ErrorCode } from '../../../pipeline/errors.ts'
import type { Score } from '../../../pipeline/flow.ts'
import { scansFor, shown } from '../../../pipeline/tasks/gallery.ts'
import type { Job } from '../../../pipeline/tasks/task.ts'
import { writeTrainingPage } from '../../../pipeline/tasks/training-page.ts'
import { gridOf } from '../../support/nifti.ts'
import { contextOf } from '../../support/stage.ts'

const grid = gridOf([8, 8, 4], [1, 1, 1])

/** A case whose planes cannot be read, for this reason; without one they can. */
const scoreOf = (id: string, reason?: unknown): Score => ({
  case: { id, index: 0 },
  metrics: { dice: 0.5 },
  slices: {
    grid,
    bytes: 0,
    async read() {
      if (reason !== undefined) throw reason
      return { grid, planes: [] }
    },
  },
})

/** What these tasks ask of a run. */
function jobWith(viewer: readonly string[] = []): { job: Job; notes: string[]; files: string[] } {
  const [notes, files]: string[][] = [[], []]
  const note = (text: string): void => void notes!.push(text)
  const job = {
    definition: { task: 'train', report: { gallery: 6, viewer }, dataset: {}, network: { kind: 'segresnet' }, seed: 1 },
    dataSet: { name: 'few', section: () => [] },
    context: contextOf({ note }),
    progress: { note },
    folder: { writeText: (name: string) => void files!.push(name) },
    seconds: () => 1,
  }
  return { job: job as unknown as Job, notes: notes!, files: files! }
}

const failing = (code: ErrorCode): PipelineError => new PipelineError(code, 'for a reason')

t.test('a case whose planes cannot be read costs pictures, and not the run; a bug is told as one', async t => {
  for (const [reason, words] of [
    [failing('ERR_VOLUME'), /^report: not all pictures could be made: for a reason$/],
    [
      new TypeError('x is undefined'),
      /^report: not all pictures .*: internal error, please report it: x is undefined$/,
    ],
  ] as const) {
    const { job, notes } = jobWith()
    const cases = [scoreOf('good'), scoreOf('bad', reason), scoreOf('late')]
    const pictures = await shown(
      job,
      cases.map(score => ({ score, why: 'worst' as const })),
    )
    t.same(
      pictures.map(picture => picture.case),
      ['good'],
    )
    t.match(notes, [words])
  }
})

t.test("the run's end and an output that cannot be used end it", async t => {
  for (const code of ['ERR_INTERRUPTED', 'ERR_OUTPUT'] as const) {
    const { job } = jobWith()
    await t.rejects(shown(job, [{ score: scoreOf('bad', failing(code)), why: 'worst' }]), { code })
  }
})

t.test('the viewer says which of its cases have failed', async t => {
  const { job, notes } = jobWith(['a', 'b'])
  const mask = maskOf(grid.shape, new Uint8Array(8 * 8 * 4))
  const viewed = { ...scoreOf('a'), masks: { grid, prediction: mask, reference: mask } }
  t.same(await scansFor(job, [viewed]), [])
  t.match(notes, [/have failed: b$/, /^a: not in the viewer: .*scan/])
})

t.test('a training without a page is still a training', async t => {
  const { job, notes, files } = jobWith()
  // This test has no engine to tell of.
  await writeTrainingPage(job, { epochs: [], pictures: [] })
  t.same(files, [])
  t.match(notes, [/the page of the training could not be made: internal error.*this test has no engine/])
  const dataSet = {
    name: 'few',
    section() {
      throw failing('ERR_OUTPUT')
    },
  }
  const full = { ...job, dataSet } as unknown as Job
  await t.rejects(writeTrainingPage({ ...full, context: engineKnown }, { epochs: [], pictures: [] }), {
    code: 'ERR_OUTPUT',
  })
})

const engineKnown = contextOf({ engine: () => ({ info: { parameters: 1 } }) as never })
