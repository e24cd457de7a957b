/** Data as a pickle of protocol 2, in the opcodes that torch.load(weights_only=True) accepts. */

/** Python's tuple; a JavaScript array becomes a list. */
export class Tuple {
  readonly items: readonly Pickled[]
  constructor(...items: readonly Pickled[]) {
    this.items = items
  }
}

/** A name that Python imports. */
export class Name {
  readonly module: string
  readonly name: string
  constructor(module: string, name: string) {
    this.module = module
    this.name = name
  }
}

/** `callee(*args)`. */
export class Call {
  readonly callee: Name
  readonly args: Tuple
  /** Entries that are set afterwards, for an OrderedDict. */
  readonly items: ReadonlyMap<Pickled, Pickled>
  constructor(callee: Name, args: Tuple, items: ReadonlyMap<Pickled, Pickled> = new Map()) {
    this.callee = callee
    this.args = args
    this.items = items
  }
}

/** An object that lies outside of the pickle. */
export class PersistentId {
  readonly id: Tuple
  constructor(id: Tuple) {
    this.id = id
  }
}

/** Numbers that are whole become int, others float; `Float` is always one. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Float
  | Tuple
  | Name
  | Call
  | PersistentId
  | readonly Pickled[]
  | ReadonlyMap<Pickled, Pickled>

/** A float that may be whole, such as a learning rate of 1. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** The pickle of a value. */
export function pickle(value: Pickled): Buffer {
  const chunks: Buffer[] = [Buffer.of(0x80, 2)]
  const put = (opcode: string, ...rest: Buffer[]): void => void chunks.push(Buffer.from(opcode, 'latin1'), ...rest)
  const float = (number: number): void =>
    put(
      'G',
      fixed(8, buffer => buffer.writeDoubleBE(number)),
    )
  const items = (map: ReadonlyMap<Pickled, Pickled>): void => {
    if (map.size === 0) return
    put('(')
    for (const [key, entry] of map) {
      write(key)
      write(entry)
    }
    put('u')
  }
  const write = (node: Pickled): void => {
    if (node === null) put('N')
    else if (typeof node === 'boolean') put(node ? '\x88' : '\x89')
    else if (typeof node === 'number') {
      if (Number.isInteger(node) && Math.abs(node) < 2 ** 31)
        put(
          'J',
          fixed(4, buffer => buffer.writeInt32LE(node)),
        )
      else if (Number.isSafeInteger(node))
        put(
          '\x8a',
          Buffer.of(8),
          fixed(8, buffer => buffer.writeBigInt64LE(BigInt(node))),
        )
      else float(node)
    } else if (typeof node === 'string') {
      const text = Buffer.from(node)
      put(
        'X',
        fixed(4, buffer => buffer.writeUInt32LE(text.length)),
        text,
      )
    } else if (node instanceof Float) float(node.value)
    else if (node instanceof Name) put('c', Buffer.from(`${node.module}\n${node.name}\n`))
    else if (node instanceof Tuple) {
      put('(')
      node.items.forEach(write)
      put('t')
    } else if (node instanceof Call) {
      write(node.callee)
      write(node.args)
      put('R')
      items(node.items)
    } else if (node instanceof PersistentId) {
      write(node.id)
      put('Q')
    } else if (node instanceof Map) {
      put('}')
      items(node)
    } else {
      put('](')
      for (const item of node as readonly Pickled[]) write(item)
      put('e')
    }
  }
  write(value)
  put('.')
  return Buffer.concat(chunks)
}

function fixed(bytes: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(bytes)
  write(buffer)
  return buffer
}
