/** What every contender computes on, as files: the same voxels and the same weights. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initialWeights } from '../../model/init.ts'
import { writeOnnx } from '../../model/onnx.ts'
import { segresnetParameters } from '../../model/segresnet.ts'
import { writeTorch } from '../../model/torch/write-torch.ts'
import { version } from '../../pipeline/version.ts'
import { networkWith } from '../kernels/layers.ts'
import { defaultAdam } from '../../model/adam.ts'
import { sampledVoxels, seed, voxelsOf, type Work } from '../network/work.ts'

export interface Inputs {
  /** Of voxels, x fastest. */
  readonly image: string
  readonly label: string
  /** A bare state_dict. */
  readonly weights: string
  readonly model: string
  readonly samples: readonly number[]
  readonly learningRate: number
}

/** Our engine starts from the same weights, since it draws them from the same seed. The caller removes the files. */
export async function writeInputs(work: Work): Promise<{ inputs: Inputs; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ctflow-peers-'))
  const at = (name: string): string => join(folder, name)
  const { image, label } = voxelsOf(work)
  const network = networkWith(work.initFilters)
  const weights = initialWeights(segresnetParameters(network), seed)
  await writeFile(at('image.float32'), image)
  await writeFile(at('label.uint8'), label)
  await writeTorch(at('weights.pt'), { tensors: weights, bare: true })
  await writeOnnx(at('network.onnx'), network, weights, version())
  return {
    inputs: {
      image: at('image.float32'),
      label: at('label.uint8'),
      weights: at('weights.pt'),
      model: at('network.onnx'),
      samples: sampledVoxels(work.shape),
      learningRate: defaultAdam.learningRate,
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
