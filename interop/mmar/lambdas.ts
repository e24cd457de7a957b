/**
 * Python in a configuration: "lambda x: ..." and Clara 4.1's "#..." code. Nothing of it is ever run. A few expressions are
 * known by their text, and each stands for a named operation; all others are refused by name.
 */

/** What an expression is used for: changing a label, choosing the foreground, or picking from what the network gave. */
export type Use = 'label' | 'foreground' | 'output'

export interface NamedOperation {
  /** For the report. */
  readonly name: string
  /** Options of the stage map-label, for a label; none where nothing changes. */
  readonly mapLabel?: { readonly divide: number }
  /** Foreground is above this. */
  readonly threshold?: number
  /** The names that are picked from an output. */
  readonly picks?: readonly string[]
}

interface Known {
  readonly use: Use
  /** Of the normalised text. */
  readonly pattern: RegExp
  readonly operation: (match: RegExpExecArray) => NamedOperation | undefined
}

/** Values of a label file that class = ceil(value / divide) brings to 1 together: all that a label may hold. */
const allLabels = 65_535

const known: readonly Known[] = [
  {
    // Published: the values 1, 2 and 3 of the source labels are one class.
    use: 'label',
    pattern: /^np\.ceil\((.+)\/(\d+(?:\.\d*)?)\)$/,
    operation: ([, inner, divisor]) => {
      const divide = Number(divisor)
      return withoutCasts(inner!) === 'x' && divide > 0
        ? { name: `map-label with divide ${divide}: class = ceil(value / ${divide})`, mapLabel: { divide } }
        : undefined
    },
  },
  {
    use: 'label',
    pattern: /^(.+)>(?:0(?:\.[05])?|0\.)$/,
    operation: ([, inner]) =>
      withoutCasts(inner!) === 'x'
        ? { name: 'map-label: every value above 0 is class 1', mapLabel: { divide: allLabels } }
        : undefined,
  },
  { use: 'label', pattern: /^x$/, operation: () => ({ name: 'nothing: the values stay' }) },
  {
    use: 'foreground',
    pattern: /^x>(-?\d+(?:\.\d*)?)$/,
    operation: ([, threshold]) => ({ name: `foreground is above ${threshold}`, threshold: Number(threshold) }),
  },
  { use: 'output', pattern: /^None$/, operation: () => ({ name: 'nothing is printed', picks: [] }) },
  {
    use: 'output',
    pattern: /^x(?:\[\d+\])?\['\w+'\](?:,x(?:\[\d+\])?\['\w+'\])*$/,
    operation: ([all]) => picking([...all!.matchAll(/'(\w+)'/g)].map(([, name]) => name!)),
  },
  {
    use: 'output',
    pattern: /^#(?:monai\.handlers\.)?from_engine\(\[?('\w+'(?:,'\w+')*)\]?(?:,first=(?:True|False))?\)$/,
    operation: ([, names]) => picking([...names!.matchAll(/'(\w+)'/g)].map(([, name]) => name!)),
  },
]

function picking(names: readonly string[]): NamedOperation {
  return { name: `picks ${names.join(' and ')}`, picks: names }
}

/** What the expression stands for; `undefined` for one that is not known for this use. */
export function namedOperation(use: Use, text: string): NamedOperation | undefined {
  const body = normalised(text)
  if (body === undefined) return undefined
  for (const { use: of, pattern, operation } of known) {
    const match = of === use ? pattern.exec(body) : null
    const found = match && operation(match)
    if (found) return found
  }
  return undefined
}

/** True for text that is Python to be run: a lambda, or Clara 4.1's code. */
export function isCode(text: string): boolean {
  return /^\s*(lambda\b|#)/.test(text)
}

/** Longer than any expression of the table. */
const maxLength = 300

/**
 * One way to write it: the variable is x, no white space, quotes are single, numpy is np, torch's and the method's ceil are
 * np.ceil, no casts or brackets around the whole. Code that is no lambda keeps its "#".
 */
export function normalised(text: string): string | undefined {
  if (text.length > maxLength) return undefined
  const lambda = /^\s*lambda\s+([A-Za-z_]\w*)\s*:(.*)$/s.exec(text)
  if (!lambda) return text.trimStart().startsWith('#') ? tidy(text) : undefined
  const [, variable, body] = lambda
  const renamed = renamedTo(body!, variable!)
  return renamed === undefined ? undefined : withoutCasts(tidy(renamed))
}

/** Quoted parts keep their letters. `undefined` where x already means something else. */
function renamedTo(body: string, variable: string): string | undefined {
  const parts = body.split(/('[^']*'|"[^"]*")/)
  const outside = parts.filter((_, i) => i % 2 === 0)
  if (variable !== 'x' && outside.some(part => /(?<![\w.])x\b/.test(part))) return undefined
  const name = new RegExp(`(?<![\\w.])${variable}\\b`, 'g')
  return parts.map((part, i) => (i % 2 === 0 ? part.replace(name, 'x') : part)).join('')
}

function tidy(text: string): string {
  return text
    .split(/('[^']*'|"[^"]*")/)
    .map((part, i) => (i % 2 === 0 ? withoutSpace(part) : `'${part.slice(1, -1)}'`))
    .join('')
    .replace(/\b(?:numpy|torch)\./g, 'np.')
}

/** White space between two words would join them: it stays, and nothing known matches. */
function withoutSpace(text: string): string {
  return text.replace(/(?<!\w)\s+|\s+(?!\w)/g, '').replace(/^\s+|\s+$/g, '')
}

const types = String.raw`(?:np\.)?(?:float16|float32|float64|float|half|uint8|int8|int16|int32|int64|int)`
const castCall = new RegExp(`^(?:${types}|np\\.(?:array|asarray))\\((.*?)(?:,dtype=${types})?\\)$`)
const castMethod = new RegExp(`^(.*)\\.astype\\(\\(?'?${types}'?\\)?(?:,copy=(?:True|False))?\\)$`)
const castShort = /^(.*)\.(?:float|half|int|long|byte)\(\)$/
const ceilMethod = /^(.*)\.ceil\(\)$/

/** Without casts and brackets around the whole: they do not change the whole numbers that labels hold. */
function withoutCasts(text: string): string {
  for (const pattern of [castCall, castMethod, castShort]) {
    const inner = pattern.exec(text)?.[1]
    if (inner !== undefined && isBalanced(inner)) return withoutCasts(inner)
  }
  const ceiled = ceilMethod.exec(text)?.[1]
  if (ceiled !== undefined && isBalanced(ceiled)) return `np.ceil(${withoutBrackets(ceiled)})`
  const bare = withoutBrackets(text)
  return bare === text ? text : withoutCasts(bare)
}

function withoutBrackets(text: string): string {
  return text.startsWith('(') && text.endsWith(')') && isBalanced(text.slice(1, -1)) ? text.slice(1, -1) : text
}

/** Every bracket is closed, and none before it is opened. */
function isBalanced(text: string): boolean {
  let depth = 0
  for (const character of text) {
    if (character === '(' || character === '[') depth++
    else if (character === ')' || character === ']') depth--
    if (depth < 0) return false
  }
  return depth === 0
}
