import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findDone, readEarlier, toCompute } from '../../pipeline/resume.ts'
import { contentHash, fileHash } from '../../pipeline/hashes.ts'
import type { CaseLine, ManifestHead } from '../../pipeline/manifest.ts'
import type { Case } from '../../pipeline/flow.ts'
import { headOf, lineOf } from '../support/manifest.ts'

const cases = (...ids: string[]): Case[] => ids.map((id, index) => ({ id, index }))
const running = new AbortController().signal

function write(folder: string, name: string, lines: readonly (ManifestHead | CaseLine)[]): void {
  writeFileSync(join(folder, name), lines.map(line => `${JSON.stringify(line)}\n`).join(''))
}

t.test('those that nobody knows come first, and while they are worked on the others are checked', async t => {
  const checks: string[] = []
  const isDone = async ({ id }: Case): Promise<boolean> => {
    checks.push(id)
    await sleep(1)
    return id !== 'd2'
  }
  const { cases: all, checked } = toCompute(cases('f1', 'f2'), cases('d1', 'd2', 'd3'), isDone, running)
  const order: string[] = []
  for await (const { id } of all) {
    order.push(id)
    if (id === 'f1') await checked
  }
  t.same(order, ['f1', 'f2', 'd2'])
  t.same(checks, ['d1', 'd2', 'd3'], 'one by one, each once')
})

t.test('after the signal nothing is checked any more; what a check throws reaches who pulls', async t => {
  const controller = new AbortController()
  let checks = 0
  const ended = toCompute(
    [],
    cases('a', 'b', 'c'),
    async () => ((checks += 1), controller.abort(), true),
    controller.signal,
  )
  await ended.checked
  t.equal(checks, 1)
  const broken = toCompute([], cases('a', 'b'), () => Promise.reject(new Error('full')), running)
  await broken.checked
  await t.rejects(broken.cases.next(), { message: 'full' })
})

t.test(
  'manifests of a whole run and of any shards are asked, previous ones too; what was made otherwise is not done',
  async t => {
    const dir = t.testdir()
    const making = { definition: 'd', model: 'm' }
    write(dir, 'manifest.jsonl', [
      headOf({}),
      lineOf('a', 'ok'),
      lineOf('b', 'ok'),
      lineOf('b', 'failed'),
      lineOf('x', 'ok', { content: null }),
    ])
    write(dir, 'manifest-2-of-3.jsonl', [
      headOf({}),
      lineOf('c', 'skipped'),
      headOf({ model: 'm2' }),
      lineOf('d', 'ok'),
      lineOf('a', 'ok'),
    ])
    write(dir, 'manifest.previous.jsonl', [headOf({}), lineOf('e', 'ok')])
    write(dir, 'manifest.previous-2.jsonl', [headOf({}), lineOf('f', 'ok')])
    write(dir, 'manifest-1-of-3.previous.jsonl', [headOf({}), lineOf('g', 'ok')])
    const { done, otherwise, unreadable } = readEarlier(dir, making)
    t.same([...done.keys()].toSorted(), ['a', 'c', 'e', 'f', 'g'], 'b has failed since, x has no content')
    t.same([...otherwise], ['d'])
    t.equal(unreadable, 0)
  },
)

t.test('of several lines the one is true whose outputs lie there', async t => {
  const dir = t.testdir({ 'scan.nii': 'scan' })
  mkdirSync(join(dir, 'out'))
  writeFileSync(join(dir, 'out/mask'), 'mask')
  const found = { id: 'a', index: 0, image: join(dir, 'scan.nii') }
  const content = await contentHash(found.image)
  const output = { path: 'mask', bytes: 4, sha256: await fileHash(join(dir, 'out/mask')) }
  const right = lineOf('a', 'ok', { content, outputs: [output] })
  const find = (...lines: CaseLine[]): Promise<CaseLine | undefined> =>
    findDone(found, lines, join(dir, 'out'), running)
  t.equal(await find(lineOf('a', 'ok', { content, outputs: [{ ...output, sha256: 'other' }] }), right), right)
  for (const [what, outputs] of [
    ['other bytes', [{ ...output, sha256: 'other' }]],
    ['another length', [{ ...output, bytes: 5 }]],
    ['gone', [output, { ...output, path: 'none' }]],
    ['a folder', [{ ...output, path: '.' }]],
  ] as const)
    t.equal(await find({ ...right, outputs }), undefined, what)
  t.equal(await find({ ...right, content: 'other' }), undefined, 'another scan')
  t.equal(await findDone({ ...found, image: join(dir, 'none') }, [right], join(dir, 'out'), running), undefined)
})
