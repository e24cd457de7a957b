/**
 * Python's pickles, read as data: a machine for the opcodes that checkpoints use, which calls nothing but the functions of
 * a table that the caller hands in. A pickle that names anything else is refused by that name.
 * https://docs.python.org/3/library/pickletools.html
 */

import { PipelineError } from '../../pipeline/errors.ts'
import { damaged, type ByteCursor } from './file-bytes.ts'

/**
 * A Python value: dict as Map, set as Set, list and tuple as array, bytes as Uint8Array, None as null, an integer beyond
 * 2^53 as bigint; whatever the table's functions return; a global that was named but not called.
 */
export type PyValue = unknown

/** A name such as `torch.FloatStorage`, standing for what Python would have imported. */
export class Global {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** What a pickle may name. A function is what calling it gives; `true` may be named and not called. */
export type Globals = Readonly<Record<string, true | ((args: readonly PyValue[]) => PyValue)>>

export interface PickleOptions {
  readonly globals: Globals
  /** Gives the object behind a persistent id, such as a tensor's storage. */
  readonly persistent: (id: PyValue) => PyValue
}

/** Longest pickle that is read. Weights lie outside of it: PyTorch needs some 200 bytes per tensor. */
const maxBytes = 16 << 20
/** Most opcodes of one pickle, and how many containers and remembered values it may make: one byte each could fill any memory. */
const maxOpcodes = 1_000_000
const maxContainers = 300_000
const maxRemembered = 500_000

const mark = Symbol('mark')

/** One pickle, from the cursor to its end. ERR_WEIGHTS for anything that is not data. */
export function unpickle(cursor: ByteCursor, { globals, persistent }: PickleOptions): PyValue {
  const { path } = cursor.file
  const begin = cursor.position
  const stack: PyValue[] = []
  const memo = new Map<number, PyValue>()

  const wrong = (what: string): PipelineError => damaged(path, `byte ${cursor.position} of its pickle: ${what}`)
  let containers = 0
  const push = (value: PyValue): void => {
    if (typeof value === 'object' && value !== null && ++containers > maxContainers)
      throw wrong(`more than ${maxContainers} lists, dicts and tensors`)
    stack.push(value)
  }
  const pop = (): PyValue => {
    if (stack.length === 0 || stack.at(-1) === mark) throw wrong('expected a value on the stack, found none')
    return stack.pop()
  }
  const top = (): PyValue => {
    const value = pop()
    stack.push(value)
    return value
  }
  const toMark = (): PyValue[] => {
    const at = stack.lastIndexOf(mark)
    if (at < 0) throw wrong('expected a mark on the stack, found none')
    return stack.splice(at).slice(1)
  }
  const remember = (index: number): void => {
    if (memo.size >= maxRemembered) throw wrong(`more than ${maxRemembered} remembered values`)
    memo.set(index, top())
  }
  const recall = (index: number): void => {
    if (!memo.has(index)) throw wrong(`expected a value remembered as ${index}, found none`)
    stack.push(memo.get(index))
  }
  const listAt = (value: PyValue): PyValue[] => {
    if (Array.isArray(value)) return value
    throw wrong(`expected a list to append to, found ${kindOf(value)}`)
  }
  const setItems = (items: readonly PyValue[]): void => {
    const target = top()
    if (!(target instanceof Map)) throw wrong(`expected a dict to fill, found ${kindOf(target)}`)
    if (items.length % 2 !== 0) throw wrong('expected keys and values in pairs')
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1])
  }
  const named = (module: string, name: string): Global => {
    const full = `${module}.${name}`
    if (Object.hasOwn(globals, full)) return new Global(full)
    throw new PipelineError('ERR_WEIGHTS', `${path}: ${refusal(shown(full))}`, { path, global: shown(full) })
  }
  const call = (callee: PyValue, args: PyValue): PyValue => {
    if (!(callee instanceof Global)) throw wrong(`expected a name to call, found ${kindOf(callee)}`)
    if (!Array.isArray(args)) throw wrong(`expected arguments for ${callee.name}, found ${kindOf(args)}`)
    const work = globals[callee.name]
    if (typeof work !== 'function') throw wrong(`${callee.name} is a type or a constant here and is not called`)
    return work(args)
  }
  // Before anything is read: a file of holes may well have as many bytes as it claims.
  const take = (length: number): Buffer => {
    if (length <= cursor.remaining && cursor.position - begin + length > maxBytes)
      throw wrong(`longer than ${maxBytes} bytes`)
    return cursor.take(length)
  }
  const text = (length: number): string => take(length).toString('utf8')
  // Ten bytes are the longest that PyTorch writes, its magic number.
  const long = (length: number): number | bigint => {
    if (length > 16) throw wrong(`an integer of ${length} bytes`)
    return integer(take(length))
  }

  for (let opcodes = 0; ; opcodes++) {
    if (opcodes > maxOpcodes) throw wrong(`more than ${maxOpcodes} opcodes`)
    if (cursor.position - begin > maxBytes) throw wrong(`longer than ${maxBytes} bytes`)
    const opcode = cursor.byte()
    switch (opcode) {
      case 0x80: // PROTO
        if (cursor.byte() > 5) throw wrong('expected pickle protocol 2 to 5')
        break
      case 0x95: // FRAME: how many bytes follow; the reader is buffered anyway
        take(8)
        break
      case 0x2e: // STOP
        if (stack.length !== 1) throw wrong(`expected one value at the end, found ${stack.length}`)
        return pop()
      case 0x28: // MARK
        push(mark)
        break

      case 0x4e: // NONE
        push(null)
        break
      case 0x88: // NEWTRUE
        push(true)
        break
      case 0x89: // NEWFALSE
        push(false)
        break
      case 0x4b: // BININT1
        push(cursor.byte())
        break
      case 0x4d: // BININT2
        push(take(2).readUInt16LE())
        break
      case 0x4a: // BININT
        push(take(4).readInt32LE())
        break
      case 0x8a: // LONG1
        push(long(cursor.byte()))
        break
      case 0x8b: // LONG4
        push(long(take(4).readUInt32LE()))
        break
      case 0x47: // BINFLOAT
        push(take(8).readDoubleBE())
        break
      case 0x58: // BINUNICODE
        push(text(take(4).readUInt32LE()))
        break
      case 0x8c: // SHORT_BINUNICODE
        push(text(cursor.byte()))
        break
      case 0x8d: // BINUNICODE8
        push(text(length64(take(8))))
        break
      case 0x55: // SHORT_BINSTRING: bytes of Python 2, names in practice
        push(take(cursor.byte()).toString('latin1'))
        break
      case 0x54: // BINSTRING
        push(take(take(4).readUInt32LE()).toString('latin1'))
        break
      case 0x43: // SHORT_BINBYTES
        push(Uint8Array.from(take(cursor.byte())))
        break
      case 0x42: // BINBYTES
        push(Uint8Array.from(take(take(4).readUInt32LE())))
        break

      case 0x7d: // EMPTY_DICT
        push(new Map())
        break
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        push([])
        break
      case 0x8f: // EMPTY_SET
        push(new Set())
        break
      case 0x85: // TUPLE1
        push([pop()])
        break
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items = Array.from({ length: opcode - 0x84 }, pop)
        push(items.toReversed())
        break
      }
      case 0x74: // TUPLE
        push(toMark())
        break
      case 0x61: {
        // APPEND
        const item = pop()
        listAt(top()).push(item)
        break
      }
      case 0x65: {
        // APPENDS
        const items = toMark()
        const list = listAt(top())
        for (const item of items) list.push(item)
        break
      }
      case 0x90: {
        // ADDITEMS
        const items = toMark()
        const set = top()
        if (!(set instanceof Set)) throw wrong(`expected a set to fill, found ${kindOf(set)}`)
        for (const item of items) set.add(item)
        break
      }
      case 0x73: {
        // SETITEM
        const value = pop()
        const key = pop()
        setItems([key, value])
        break
      }
      case 0x75: // SETITEMS
        setItems(toMark())
        break

      case 0x71: // BINPUT
        remember(cursor.byte())
        break
      case 0x72: // LONG_BINPUT
        remember(take(4).readUInt32LE())
        break
      case 0x94: // MEMOIZE
        remember(memo.size)
        break
      case 0x68: // BINGET
        recall(cursor.byte())
        break
      case 0x6a: // LONG_BINGET
        recall(take(4).readUInt32LE())
        break

      case 0x63: // GLOBAL
        push(named(cursor.line(), cursor.line()))
        break
      case 0x93: {
        // STACK_GLOBAL
        const name = pop()
        const module = pop()
        if (typeof name !== 'string' || typeof module !== 'string') throw wrong('expected a module and a name')
        push(named(module, name))
        break
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ: cls.__new__(cls, *args)
        const args = pop()
        push(call(pop(), args))
        break
      }
      case 0x62: // BUILD: attributes, such as the _metadata of a state_dict. Weights are not among them
        pop()
        top()
        break
      case 0x51: // BINPERSID
        push(persistent(pop()))
        break
      default:
        throw wrong(`the opcode 0x${opcode.toString(16).padStart(2, '0')}, which no checkpoint needs`)
    }
  }
}

function refusal(name: string): string {
  const cure = 'save a state_dict instead: torch.save(model.state_dict(), path)'
  if (/^__torch__\b/.test(name)) return `a TorchScript class (${name}) is in its pickle; ${cure}`
  if (/^torch\.\w+$|^torch\._utils\._rebuild_|^torch\._tensor\._rebuild_/.test(name))
    return `its pickle asks for ${name}, a kind of tensor that is not read here; save plain ones instead, by .float(), .to_dense(), .dequantize() or .as_tensor(), whichever it needs`
  return `its pickle asks for ${name}, which is not among the names that checkpoints of weights need, and is refused; a whole pickled model, or other objects beside the weights, cannot be read: ${cure}`
}

/** Two's complement, little-endian, at most 16 bytes; a bigint where a number would not be exact. */
function integer(bytes: Buffer): number | bigint {
  const wide = Buffer.alloc(16, bytes.length > 0 && bytes.at(-1)! >= 0x80 ? 0xff : 0)
  bytes.copy(wide)
  const value = (wide.readBigInt64LE(8) << 64n) | wide.readBigUInt64LE(0)
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** A length that no file has stays one: the reader refuses it. */
function length64(bytes: Buffer): number {
  return Number(bytes.readBigUInt64LE())
}

/** Longest text of a file's that a message repeats. */
const maxShown = 80

/** A value for messages: text and numbers as they are, cut where long; of anything that may hold others, the kind alone. */
export function shown(value: PyValue): string {
  if (!['string', 'number', 'bigint', 'boolean'].includes(typeof value)) return kindOf(value)
  const text = String(value)
  return text.length > maxShown ? `${text.slice(0, maxShown)}...` : text
}

/** A value's kind in Python's words, for messages. */
export function kindOf(value: PyValue): string {
  if (value === null) return 'None'
  if (value instanceof Global) return value.name
  if (value instanceof Map) return 'a dict'
  if (value instanceof Set) return 'a set'
  if (Array.isArray(value)) return 'a list or tuple'
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value === 'object') return `a ${value.constructor.name}`
  return typeof value === 'string' ? 'a str' : `a ${typeof value}`
}
