import t from 'tap'
import type { Engine, EngineWork } from '../../pipeline/engine.ts'
import { checkGpuPlan, planGpu, wantedText } from '../../pipeline/gpu-plan.ts'

const MiB = 2 ** 20

/** Takes 4 MiB for itself, 100 for each sample of a step at once and 40 for windows. */
const engine = (memoryBytes?: number): Engine =>
  ({
    info: {
      device: 'A GPU',
      gpu: { driver: 'its driver', largestTensorBytes: 2 ** 30, ...(memoryBytes !== undefined && { memoryBytes }) },
    },
    need: async ({ step, windows }: EngineWork) => ({
      bytes: 0,
      deviceBytes: MiB * (4 + Math.max(step ? 100 * (step.together ? step.batch : 1) : 0, windows.length > 0 ? 40 : 0)),
    }),
  }) as unknown as Engine

const work: EngineWork = {
  step: { patch: [64, 64, 32], batch: 2 },
  windows: [
    [32, 32, 32],
    [96, 96, 32],
  ],
}

t.test('the plan says what takes how much', async t => {
  t.same(await planGpu(engine(), work), {
    adapter: 'A GPU',
    limitBytes: null,
    largestTensorBytes: 2 ** 30,
    parts: [
      { what: "parameters and the optimiser's state", bytes: 4 * MiB },
      { what: 'a step on 64 x 64 x 32', bytes: 100 * MiB },
      { what: 'a window of 96 x 96 x 32', bytes: 40 * MiB },
    ],
    peakBytes: 104 * MiB,
    togetherBytes: 204 * MiB,
  })
  const inference = await planGpu(engine(), { windows: [[32, 32, 32]] })
  t.equal(wantedText(inference!), '44.0 MiB')
  t.equal(wantedText((await planGpu(engine(), work))!), "104.0 MiB, 204.0 MiB with a batch's samples at once")
  t.match(inference, { parts: [{ what: 'parameters' }, { what: 'a window of 32 x 32 x 32' }], peakBytes: 44 * MiB })
})

t.test('what does not fit is refused with the plan and the cure', async t => {
  const plan = (await planGpu(engine(103 * MiB), work))!
  t.throws(() => checkGpuPlan(plan), {
    code: 'ERR_DEFINITION',
    message:
      /^\/engine\/gpuMemory: expected at least 104\.0 MiB \(109051904 bytes\), found 103\.0 MiB: 4\.00 MiB for parameters and the optimiser's state, 100\.0 MiB for a step on 64 x 64 x 32, 40\.0 MiB for a window of 96 x 96 x 32; raise it, .*"backend": "native"$/,
    facts: { needed: 104 * MiB, limit: 103 * MiB },
  })
  checkGpuPlan((await planGpu(engine(104 * MiB), work))!)
  checkGpuPlan((await planGpu(engine(), work))!)
})

t.test('without a GPU there is none', async t => {
  t.equal(await planGpu({ info: { device: 'A processor' } } as unknown as Engine, work), undefined)
})
