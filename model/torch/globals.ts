/** The names that a checkpoint of weights may use, and what they give here. Nothing of Python's is called. */

import type { Dtype } from '../dtypes.ts'
import { damaged } from './file-bytes.ts'
import { Global, kindOf, type Globals, type PyValue } from './pickle.ts'
import { TorchTensor, type Storage } from './tensors.ts'

/** Something beside the weights that is neither data nor asked for, such as a numpy scalar in a training configuration. */
export class Opaque {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

const storageDtypes: Readonly<Record<string, Dtype | undefined>> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
  'torch.UntypedStorage': undefined,
  'torch.storage.UntypedStorage': undefined,
}

const dtypes: Readonly<Record<string, Dtype>> = {
  'torch.float32': 'F32',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.float64': 'F64',
  'torch.int64': 'I64',
  'torch.int32': 'I32',
  'torch.int16': 'I16',
  'torch.int8': 'I8',
  'torch.uint8': 'U8',
  'torch.bool': 'BOOL',
}

/** Sets before protocol 4, in which they have opcodes; Python 2 called the module otherwise, and protocol 2 still does. */
const setNames = ['__builtin__.set', '__builtin__.frozenset', 'builtins.set', 'builtins.frozenset']

/** The number format of a storage's class; `undefined` is untyped bytes. ERR_WEIGHTS for what is no storage. */
export function storageDtype(path: string, type: PyValue): Dtype | undefined {
  if (type instanceof Global && Object.hasOwn(storageDtypes, type.name)) return storageDtypes[type.name]
  throw damaged(path, `expected the class of a storage, found ${kindOf(type)}`)
}

/** The allow-list for one file. */
export function torchGlobals(path: string): Globals {
  const storageOf = (value: PyValue): Storage => {
    if (typeof value === 'object' && value !== null && 'stored' in value) return value as Storage
    throw damaged(path, `expected a tensor's storage, found ${kindOf(value)}`)
  }
  const tensor = ([storage, offset, shape, strides]: readonly PyValue[]): TorchTensor =>
    new TorchTensor(path, storageOf(storage), offset, shape, strides)
  return {
    ...named(Object.keys(storageDtypes)),
    ...named(Object.keys(dtypes)),
    // OrderedDict() or OrderedDict([(key, value), ...]).
    'collections.OrderedDict': ([items = []]) => {
      const entries = Array.isArray(items) && items.every(item => Array.isArray(item)) ? items : undefined
      if (!entries) throw damaged(path, `expected pairs for an OrderedDict, found ${kindOf(items)}`)
      return new Map(entries as [unknown, unknown][])
    },
    // Of schedules (MultiStepLR's milestones): Counter({value: count}).
    'collections.Counter': ([counts = new Map()]) => counts,
    ...Object.fromEntries(setNames.map(name => [name, ([items = []]) => new Set(Array.isArray(items) ? items : [])])),
    'torch._utils._rebuild_tensor': tensor,
    'torch._utils._rebuild_tensor_v2': tensor,
    'torch._utils._rebuild_tensor_v3': ([storage, offset, shape, strides, , , dtype]) => {
      const known = dtype instanceof Global ? dtypes[dtype.name] : undefined
      if (!known) throw damaged(path, `expected a number format, found ${kindOf(dtype)}`)
      return new TorchTensor(path, storageOf(storage), offset, shape, strides, known)
    },
    'torch._utils._rebuild_parameter': ([data]) => data,
    'torch._utils._rebuild_parameter_with_state': ([data]) => data,
    'torch.nn.parameter.Parameter': ([data]) => data,
    'torch.Size': ([extents]) => extents,
    'torch.device': ([name]) => name,
    '_codecs.encode': ([text]) => (typeof text === 'string' ? Uint8Array.from(Buffer.from(text, 'latin1')) : text),
    ...opaques(['numpy.dtype', 'numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar']),
  }
}

/** Names that may be named and not called. */
function named(names: readonly string[]): Globals {
  return Object.fromEntries(names.map(name => [name, true]))
}

function opaques(names: readonly string[]): Globals {
  return Object.fromEntries(names.map(name => [name, () => new Opaque(name)]))
}
