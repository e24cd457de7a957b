/** A network with its weights as an ONNX model, for runtimes that know nothing of us. docs/onnx.md is its description. */

import { PipelineError } from '../pipeline/errors.ts'
import type { Tensors } from '../pipeline/engine.ts'
import { adamState } from './adam.ts'
import { byteLength, encodeModel } from './onnx/protobuf.ts'
import { segresnetGraph } from './onnx/segresnet.ts'
import { checkSegresnet, segresnetParameters, type SegresnetOptions } from './segresnet.ts'
import { checkWeights } from './weights.ts'
import { writeWhole } from './write-whole.ts'

/**
 * Opset 17 and the IR of the same release (ONNX 1.12, June 2022), which ONNX Runtime reads since 1.12. Every operator of
 * the graph has had its form since opset 15; nothing newer is needed, and a newer number would only lock runtimes out.
 */
const opset = 17
const irVersion = 8

/** Protobuf reads messages below 2^31 bytes; the rest is room for tools that add shapes or nodes to a model and save it. */
const largestBytes = 2_000_000_000

/**
 * The bytes of an ONNX model: the network with these weights, which are by PyTorch's names and in its axis order; what an
 * optimiser has left among them is passed over. Input `image` (batch, inChannels, x, y, z), output `logits` (batch,
 * outChannels, x, y, z), float32. `version` is our own, kept as the producer's. The same arguments give the same bytes.
 *
 * ERR_DEFINITION for a network that cannot be, ERR_WEIGHTS for weights that do not fit it or a model that is too large.
 */
export function onnxModel(network: SegresnetOptions, weights: Tensors, version: string): Uint8Array {
  return Buffer.concat(piecesOf(network, weights, version))
}

/** Writes `onnxModel`, whole or not at all, without a copy of the weights. Its errors, and ERR_OUTPUT. */
export async function writeOnnx(
  path: string,
  network: SegresnetOptions,
  weights: Tensors,
  version: string,
): Promise<void> {
  await writeWhole(path, piecesOf(network, weights, version))
}

function piecesOf(network: SegresnetOptions, weights: Tensors, version: string): Uint8Array[] {
  checkSegresnet(network)
  const parameters = new Map([...weights].filter(([name]) => !name.startsWith(adamState.prefix)))
  checkWeights(parameters, segresnetParameters(network))
  const pieces = encodeModel({
    irVersion,
    opset,
    producerName: 'ctflow',
    producerVersion: version,
    graph: segresnetGraph(network, parameters),
    metadata: { network: JSON.stringify(network) },
  })
  const bytes = byteLength(pieces)
  if (bytes <= largestBytes) return pieces
  throw new PipelineError(
    'ERR_WEIGHTS',
    `the network as an ONNX model: expected at most ${largestBytes} bytes, since readers of the format end at 2 GiB, found ${bytes}; use a network with fewer filters, or keep these weights as safetensors`,
    { bytes, largestBytes },
  )
}
