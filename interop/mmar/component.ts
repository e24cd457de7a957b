/** Components of a configuration, {"name" or "path", "args", attributes} or {"ref": ...}, and their arguments one by one. */

import { show } from '../../pipeline/problems.ts'
import {
  escaped,
  field,
  isObject,
  placeIn,
  sameJson,
  type Json,
  type JsonFile,
  type JsonObject,
  type Place,
} from './json.ts'
import { nearName } from './names.ts'
import type { Outcome, Report } from './report.ts'

export interface Component {
  /** As it is written, such as "Spacingd" or "monai.transforms.Spacingd". */
  readonly written: string
  /** The class alone. */
  readonly name: string
  readonly args: JsonObject
  readonly attributes: JsonObject
  readonly file: JsonFile
  readonly pointer: string
  readonly at: Place
  /** Where it stands in the train section, for one that is only referred to. */
  readonly ref?: Component
}

/** Attributes that say how a component is used and change no number here. */
const knownAttributes = new Set(['name', 'path', 'ref', 'args', 'disabled', 'rank', 'log_label', 'is_key_metric'])

/** The row of a table for a class: its exact name, or the name without MONAI's suffix for dictionaries (d, D, Dict). */
export function rowOf<Row>(table: ReadonlyMap<string, Row>, name: string): Row | undefined {
  for (const candidate of [name, name.replace(/Dict$/, ''), name.replace(/[dD]$/, '')]) {
    const row = table.get(candidate)
    if (row !== undefined) return row
  }
  return undefined
}

/** "did you mean" for a class that no table has. */
export function nearestClass(name: string, table: ReadonlyMap<string, unknown>): string {
  const near = nearName(name.replace(/(Dict|[dD])$/, ''), [...table.keys()])
  return near === undefined ? '' : `; did you mean ${near}?`
}

/** The component at a pointer; `undefined`, with a line in the report, for what is none or is disabled. */
export function componentAt(
  file: JsonFile,
  value: Json | undefined,
  pointer: string,
  report: Report,
  referable: readonly Component[] = [],
): Component | undefined {
  if (value === undefined || value === null) return undefined
  const at = placeIn(file, pointer)
  if (!isObject(value)) {
    report.add('refused', at, show(value), 'expected a component, {"name": class, "args": {...}}')
    return undefined
  }
  const written = [field(value, 'path'), field(value, 'name'), field(value, 'ref')].find(
    text => typeof text === 'string',
  )
  if (typeof written !== 'string' || written === '') {
    report.add('refused', at, show(value), 'expected a component with "name", "path" or "ref"')
    return undefined
  }
  if (isDisabled(field(value, 'disabled'))) {
    report.add('unneeded', at, written, 'disabled')
    return undefined
  }
  const name = written.split('.').at(-1)!
  const args = field(value, 'args') ?? {}
  if (!isObject(args)) {
    report.add(
      'refused',
      placeIn(file, `${pointer}/args`),
      written,
      `expected an object of arguments, found ${show(args)}`,
    )
    return undefined
  }
  for (const attribute of Object.keys(value)) {
    if (!knownAttributes.has(attribute) && !/^data_(list|file)_/.test(attribute))
      report.add(
        'check',
        placeIn(file, `${pointer}/${escaped(attribute)}`),
        written,
        `attribute "${attribute}" is not known`,
      )
  }
  const component: Component = { written, name, args, attributes: value, file, pointer, at }
  if (typeof field(value, 'name') === 'string' || typeof field(value, 'path') === 'string') return component
  return referred(component, referable, report)
}

/** Clara takes the first component of that name. */
function referred(component: Component, referable: readonly Component[], report: Report): Component | undefined {
  const ref = referable.find(({ written, name }) => written === component.written || name === component.name)
  if (!ref) {
    const names = referable.map(({ name }) => name)
    const near = nearName(component.name, names)
    report.add(
      'refused',
      component.at,
      `ref ${component.written}`,
      `the train section has no such component${near === undefined ? '' : `; did you mean "${near}"?`}`,
    )
    return undefined
  }
  if (Object.keys(component.args).length > 0)
    report.add('refused', component.at, `ref ${component.written}`, 'arguments beside "ref" are not taken')
  return { ...component, name: ref.name, args: ref.args, ref }
}

/** All components of a list, in order; a list of nothing where there is none. */
export function componentsAt(
  file: JsonFile,
  value: Json | undefined,
  pointer: string,
  report: Report,
  referable: readonly Component[] = [],
): Component[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) {
    report.add('refused', placeIn(file, pointer), show(value), 'expected a list of components')
    return []
  }
  return value.flatMap((item: Json, i) => componentAt(file, item, `${pointer}/${i}`, report, referable) ?? [])
}

/** JSON's true, and how command lines write it. */
function isDisabled(value: Json | undefined): boolean {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true')
}

/** The arguments of a component. What nobody reads is reported by `done`, so that none is lost silently. */
export class Args {
  readonly component: Component
  readonly report: Report
  readonly #read = new Set<string>()

  constructor(component: Component, report: Report) {
    this.component = component
    this.report = report
  }

  /** The first of the names that has a value. One whose placeholder has none counts as absent: that is reported already. */
  value(...names: readonly string[]): Json | undefined {
    for (const name of names) this.#read.add(name)
    return names
      .map(name => field(this.component.args, name))
      .find(value => value !== undefined && value !== null && !isPlaceholder(value))
  }

  number(fallback: number, ...names: readonly string[]): number {
    return this.#typed(fallback, 'a number', value => typeof value === 'number' && Number.isFinite(value), names)
  }

  boolean(fallback: boolean, ...names: readonly string[]): boolean {
    return this.#typed(fallback, 'true or false', value => typeof value === 'boolean', names)
  }

  string(fallback: string, ...names: readonly string[]): string {
    return this.#typed(fallback, 'a text', value => typeof value === 'string', names)
  }

  /** A list of numbers; one number stands for all three axes, and a short list goes on with its last, as in MONAI 1.x. */
  vector3(...names: readonly string[]): [number, number, number] | undefined {
    const value = this.value(...names)
    if (value === undefined) return undefined
    const list: readonly Json[] = Array.isArray(value) ? value : [value as Json]
    if (list.length === 0 || !list.every(item => typeof item === 'number' && Number.isFinite(item))) {
      this.refuse(names[0]!, `expected numbers along x, y, z, found ${show(value)}`)
      return undefined
    }
    return [0, 1, 2].map(axis => list[Math.min(axis, list.length - 1)]) as [number, number, number]
  }

  /** Keys as a text or a list. */
  keys(fallback: readonly string[], name = 'keys'): string[] {
    const value = this.value(name)
    if (value === undefined) return [...fallback]
    const list: readonly Json[] = Array.isArray(value) ? value : [value as Json]
    if (list.every(item => typeof item === 'string')) return list as string[]
    this.refuse(name, `expected names, found ${show(value)}`)
    return [...fallback]
  }

  /** One value for each key, from a list or from one value for all; `fallback` where it is absent. */
  perKey(keys: readonly string[], name: string, fallback: Json): Map<string, Json> {
    const value = this.value(name)
    if (value === undefined) return new Map(keys.map(key => [key, fallback]))
    if (!Array.isArray(value)) return new Map(keys.map(key => [key, value]))
    if (value.length !== keys.length)
      this.refuse(name, `expected one value for each of ${keys.join(', ')}, found ${show(value)}`)
    return new Map(keys.map((key, i) => [key, (value[i] as Json | undefined) ?? fallback]))
  }

  /** An argument that has one meaning here: `allowed`, or absent. A list must hold only such values. */
  expect(name: string, allowed: readonly Json[], why: string): void {
    const value = this.value(name)
    if (value === undefined) return
    const isAllowed = (item: Json): boolean => allowed.some(candidate => sameJson(item, candidate))
    if (isAllowed(value) || (Array.isArray(value) && value.every(isAllowed))) return
    this.refuse(name, `found ${show(value)}; ${why}`)
  }

  /** Arguments that change nothing here. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.#read.add(name)
  }

  refuse(name: string, why: string): void {
    const { file, pointer, name: of } = this.component
    this.report.add('refused', placeIn(file, `${pointer}/args/${escaped(name)}`), `${of}.${name}`, why)
  }

  say(outcome: Outcome, text: string): void {
    this.report.add(outcome, this.component.at, described(this.component), text)
  }

  /** The whole component cannot be taken; its arguments need no lines of their own. */
  reject(why: string): void {
    this.say('refused', why)
    this.skip(...Object.keys(this.component.args))
  }

  /** Reports what nobody has read. References to other objects ("@name") are wiring, which is fixed here. */
  done(): void {
    for (const [name, value] of Object.entries(this.component.args)) {
      if (this.#read.has(name) || value === null || isReference(value)) continue
      this.refuse(name, `${show(value)} has no counterpart here`)
    }
  }

  #typed<T extends Json>(fallback: T, expected: string, is: (value: Json) => boolean, names: readonly string[]): T {
    const value = this.value(...names)
    if (value === undefined) return fallback
    if (is(value)) return value as T
    this.refuse(names[0]!, `expected ${expected}, found ${show(value)}; ${show(fallback)} stands in`)
    return fallback
  }
}

function isPlaceholder(value: Json): boolean {
  return typeof value === 'string' && /^\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(value)
}

/** "@model", "#@model.parameters()", or a list or object of such. */
function isReference(value: Json): boolean {
  if (typeof value === 'string') return /^#?@[A-Za-z_][\w.]*(\(\))?$/.test(value)
  if (Array.isArray(value)) return value.length > 0 && value.every(isReference)
  return isObject(value) && Object.values(value).length > 0 && Object.values(value).every(isReference)
}

/** Class and arguments, shortened, for the report. */
export function described({ name, args }: Component): string {
  const shown = Object.entries(args)
    .filter(([, value]) => !isReference(value))
    .map(([argument, value]) => `${argument}=${show(value)}`)
    .join(', ')
  const text = `${name}(${shown})`
  return text.length > 140 ? `${text.slice(0, 137)}...` : text
}
