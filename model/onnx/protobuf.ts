/**
 * ONNX models as bytes: the messages of onnx.proto that a network needs, field by field. The numbers are those of
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; fields that are left out have no value there either.
 */

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { littleEndian } from '../dtypes.ts'
import { sizeOf } from '../parameters.ts'

export interface OnnxModel {
  readonly irVersion: number
  /** Version of the operators, domain ai.onnx. */
  readonly opset: number
  readonly producerName: string
  readonly producerVersion: string
  readonly graph: OnnxGraph
  readonly metadata: Readonly<Record<string, string>>
}

export interface OnnxGraph {
  readonly name: string
  /** In an order in which every node comes after those it reads from. */
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly OnnxTensor[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

export interface OnnxNode {
  readonly name: string
  readonly operator: string
  /** Names of values; an optional one that is not given is ''. */
  readonly inputs: readonly string[]
  readonly output: string
  readonly attributes: Readonly<Record<string, OnnxAttribute>>
}

/** FLOAT, INTS or STRING. */
export type OnnxAttribute = number | readonly number[] | string

/** A float32 value of a graph; an extent that only the caller knows is a name, the same name the same extent. */
export interface OnnxValue {
  readonly name: string
  readonly shape: readonly (number | string)[]
}

/** A constant; `bytes` are its values, little-endian. Made by `float32Tensor` and `int64Tensor`. */
export interface OnnxTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: DataType
  readonly bytes: Uint8Array
}

/** TensorProto.DataType. */
type DataType = typeof float32 | typeof int64
const float32 = 1
const int64 = 7

/** AttributeProto.AttributeType. */
const attributeTypes = { float: 1, string: 3, ints: 7 } as const

/** A view of the given values, not a copy, where the machine is little-endian. */
export function float32Tensor(name: string, shape: readonly number[], data: Float32Array): OnnxTensor {
  if (sizeOf(shape) !== data.length)
    throw new Error(`${name}: ${data.length} values do not fill a shape of ${shape.join(' x ')}`)
  return { name, shape, type: float32, bytes: littleEndian(data) }
}

/** A vector of integers. */
export function int64Tensor(name: string, values: readonly number[]): OnnxTensor {
  const bytes = Buffer.alloc(8 * values.length)
  values.forEach((value, i) => bytes.writeBigInt64LE(BigInt(value), 8 * i))
  return { name, shape: [values.length], type: int64, bytes }
}

/**
 * The model's bytes (a ModelProto) in pieces, to be read one after the other. The tensors' values are among them as they
 * were given, so that a model needs no memory beside its weights.
 */
export function encodeModel(model: OnnxModel): Uint8Array[] {
  const start = new BinaryWriter()
  int(start, 1, model.irVersion)
  text(start, 2, model.producerName)
  text(start, 3, model.producerVersion)
  message(start, 8, writer => int(writer, 2, model.opset)) // the domain is left out: ai.onnx
  for (const [key, value] of Object.entries(model.metadata)) {
    message(start, 14, writer => {
      text(writer, 1, key)
      text(writer, 2, value)
    })
  }
  const graph = encodeGraph(model.graph)
  header(start, 7, byteLength(graph))
  return [start.finish(), ...graph]
}

export function byteLength(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
}

function encodeGraph({ name, nodes, initializers, inputs, outputs }: OnnxGraph): Uint8Array[] {
  const start = new BinaryWriter()
  for (const node of nodes) message(start, 1, writer => writeNode(writer, node))
  text(start, 2, name)
  for (const value of inputs) message(start, 11, writer => writeValue(writer, value))
  for (const value of outputs) message(start, 12, writer => writeValue(writer, value))
  return [start.finish(), ...initializers.flatMap(encodeInitializer)]
}

/** A TensorProto with its header as field 5 of the graph, its values last. */
function encodeInitializer({ name, shape, type, bytes }: OnnxTensor): Uint8Array[] {
  const fields = new BinaryWriter()
  for (const extent of shape) int(fields, 1, extent)
  int(fields, 2, type)
  text(fields, 8, name)
  header(fields, 9, bytes.byteLength)
  const encoded = fields.finish()
  const start = new BinaryWriter()
  header(start, 5, encoded.byteLength + bytes.byteLength)
  return [start.raw(encoded).finish(), bytes]
}

/** A NodeProto. */
function writeNode(writer: BinaryWriter, { name, operator, inputs, output, attributes }: OnnxNode): void {
  for (const input of inputs) text(writer, 1, input)
  text(writer, 2, output)
  text(writer, 3, name)
  text(writer, 4, operator)
  for (const [key, value] of Object.entries(attributes)) {
    message(writer, 5, attribute => {
      text(attribute, 1, key)
      writeAttribute(attribute, value)
    })
  }
}

/** An AttributeProto without its name. */
function writeAttribute(writer: BinaryWriter, value: OnnxAttribute): void {
  if (typeof value === 'number') {
    writer.tag(2, WireType.Bit32).float(value)
    int(writer, 20, attributeTypes.float)
  } else if (typeof value === 'string') {
    text(writer, 4, value)
    int(writer, 20, attributeTypes.string)
  } else {
    for (const entry of value) int(writer, 8, entry)
    int(writer, 20, attributeTypes.ints)
  }
}

/** A ValueInfoProto: its TypeProto's tensor_type holds the element's type and a TensorShapeProto. */
function writeValue(writer: BinaryWriter, { name, shape }: OnnxValue): void {
  text(writer, 1, name)
  message(writer, 2, type =>
    message(type, 1, tensor => {
      int(tensor, 1, float32)
      message(tensor, 2, extents => {
        for (const extent of shape) {
          message(extents, 1, dimension => {
            if (typeof extent === 'number') int(dimension, 1, extent)
            else text(dimension, 2, extent)
          })
        }
      })
    }),
  )
}

function int(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value)
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value)
}

function message(writer: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  write(writer)
  writer.join()
}

/** Announces a field of `bytes` bytes that the caller appends; 64 bits, so that a model too large can still be measured. */
function header(writer: BinaryWriter, field: number, bytes: number): void {
  writer.tag(field, WireType.LengthDelimited).uint64(bytes)
}
