/** ONNX models in tests: what is in their bytes, read field by field, and what ONNX Runtime makes of them. */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import * as ort from 'onnxruntime-web'
import type { OnnxAttribute, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from '../../model/onnx/protobuf.ts'
import type { Shape3 } from '../../pipeline/grid.ts'

// No pool of workers: tests share few processors, and nothing is left that could hold the process.
ort.env.wasm.numThreads = 1

/**
 * Logits (N, z, y, x, classes) of `count` windows (N, z, y, x), like the engine's, by ONNX Runtime on a model of one input
 * channel.
 */
export async function inferWithOnnxRuntime(
  model: Uint8Array,
  windows: Float32Array,
  count: number,
  [nx, ny, nz]: Shape3,
): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(model)
  const voxels = nx * ny * nz
  const image = new Float32Array(windows.length)
  eachVoxel([nx, ny, nz], (ours, theirs) => {
    for (let n = 0; n < count; n++) image[n * voxels + theirs] = windows[n * voxels + ours]!
  })
  const { logits } = await session.run({ image: new ort.Tensor('float32', image, [count, 1, nx, ny, nz]) })
  await session.release()
  const [, classes] = logits!.dims as [number, number]
  const expected = [count, classes, nx, ny, nz]
  if (logits!.dims.join() !== expected.join())
    throw new Error(`expected logits ${expected.join()}, found ${logits!.dims.join()}`)
  const data = logits!.data as Float32Array
  const out = new Float32Array(data.length)
  eachVoxel([nx, ny, nz], (ours, theirs) => {
    for (let n = 0; n < count; n++)
      for (let c = 0; c < classes; c++)
        out[(n * voxels + ours) * classes + c] = data[(n * classes + c) * voxels + theirs]!
  })
  return out
}

/** Every voxel's index in (z, y, x) and in (x, y, z). */
function eachVoxel([nx, ny, nz]: Shape3, visit: (ours: number, theirs: number) => void): void {
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) visit((z * ny + y) * nx + x, (x * ny + y) * nz + z)
}

type Field = bigint | number | Uint8Array
type Message = ReadonlyMap<number, readonly Field[]>

/** All that a model's bytes hold; an Error for a field that we do not write. */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  const model = messageOf(bytes, [1, 2, 3, 7, 8, 14])
  const graph = messageOf(only(model, 7), [1, 2, 5, 11, 12])
  return {
    irVersion: Number(only<bigint>(model, 1)),
    opset: Number(only<bigint>(messageOf(only(model, 8), [2]), 2)),
    producerName: textOf(only(model, 2)),
    producerVersion: textOf(only(model, 3)),
    metadata: Object.fromEntries(
      all<Uint8Array>(model, 14).map(entry => {
        const pair = messageOf(entry, [1, 2])
        return [textOf(only(pair, 1)), textOf(only(pair, 2))]
      }),
    ),
    graph: {
      name: textOf(only(graph, 2)),
      nodes: all<Uint8Array>(graph, 1).map(nodeOf),
      initializers: all<Uint8Array>(graph, 5).map(tensorOf),
      inputs: all<Uint8Array>(graph, 11).map(valueOf),
      outputs: all<Uint8Array>(graph, 12).map(valueOf),
    },
  }
}

function nodeOf(bytes: Uint8Array): OnnxNode {
  const node = messageOf(bytes, [1, 2, 3, 4, 5])
  return {
    name: textOf(only(node, 3)),
    operator: textOf(only(node, 4)),
    inputs: all<Uint8Array>(node, 1).map(textOf),
    output: textOf(only(node, 2)),
    attributes: Object.fromEntries(all<Uint8Array>(node, 5).map(attributeOf)),
  }
}

function attributeOf(bytes: Uint8Array): [string, OnnxAttribute] {
  const attribute = messageOf(bytes, [1, 2, 4, 8, 20])
  const name = textOf(only(attribute, 1))
  const type = only<bigint>(attribute, 20)
  if (type === 1n) return [name, only<number>(attribute, 2)]
  if (type === 3n) return [name, textOf(only(attribute, 4))]
  if (type === 7n) return [name, all<bigint>(attribute, 8).map(Number)]
  throw new Error(`attribute ${name}: unexpected type ${type}`)
}

function tensorOf(bytes: Uint8Array): OnnxTensor {
  const tensor = messageOf(bytes, [1, 2, 8, 9])
  return {
    name: textOf(only(tensor, 8)),
    shape: all<bigint>(tensor, 1).map(Number),
    type: Number(only<bigint>(tensor, 2)) as OnnxTensor['type'],
    bytes: only(tensor, 9),
  }
}

function valueOf(bytes: Uint8Array): OnnxValue {
  const value = messageOf(bytes, [1, 2])
  const tensor = messageOf(only(messageOf(only(value, 2), [1]), 1), [1, 2])
  if (only<bigint>(tensor, 1) !== 1n) throw new Error('expected a float32 value')
  const extents = all<Uint8Array>(messageOf(only(tensor, 2), [1]), 1).map(extent => {
    const dimension = messageOf(extent, [1, 2])
    return dimension.has(2) ? textOf(only(dimension, 2)) : Number(only<bigint>(dimension, 1))
  })
  return { name: textOf(only(value, 1)), shape: extents }
}

function messageOf(bytes: Uint8Array, known: readonly number[]): Message {
  const reader = new BinaryReader(bytes)
  const fields = new Map<number, Field[]>()
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    if (!known.includes(field)) throw new Error(`unexpected field ${field}`)
    fields.set(field, [...(fields.get(field) ?? []), fieldOf(reader, type)])
  }
  return fields
}

function fieldOf(reader: BinaryReader, type: WireType): Field {
  if (type === WireType.LengthDelimited) return reader.bytes()
  if (type === WireType.Varint) return BigInt(reader.int64())
  if (type === WireType.Bit32) return reader.float()
  throw new Error(`unexpected wire type ${type}`)
}

function all<T extends Field>(message: Message, field: number): T[] {
  return [...(message.get(field) ?? [])] as T[]
}

function only<T extends Field = Uint8Array>(message: Message, field: number): T {
  const [value, ...more] = all<T>(message, field)
  if (value === undefined || more.length > 0) throw new Error(`expected field ${field} once`)
  return value
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}
