import { PassThrough } from 'node:stream'
import t from 'tap'
import { createProgress, type Progress, type ProgressMode } from '../../pipeline/progress.ts'

/** What is written in a mode. */
function written(mode: ProgressMode, show: (progress: Progress) => void): string {
  const out = Object.assign(new PassThrough(), { isTTY: mode === 'tty' })
  const progress = createProgress(mode, out as unknown as NodeJS.WriteStream)
  show(progress)
  progress.close()
  return String(out.read() ?? '')
}

t.test('an infinite metric survives in progress for machines', t => {
  const line = written('json', progress =>
    progress.event('score', { case: 'a', hd: Infinity, hd95: null, dice: 0.5 }, 'a  hd inf'),
  )
  t.same(JSON.parse(line), { type: 'score', case: 'a', hd: 'inf', hd95: null, dice: 0.5 })
  t.end()
})

const figures = { epoch: 1, bottleneck: { kind: 'load' }, stages: [{ kind: 'load', busySeconds: 1.5 }] }

function epoch(progress: Progress): void {
  progress.begin('epoch 1/2', 4)
  progress.status('bottleneck: load 80 % busy')
  progress.advance(2, 'loss 0.5')
  progress.status('bottleneck: load 82 % busy')
  progress.event('epoch', { epoch: 1 }, 'epoch 1/2  loss 0.5')
  progress.stages(figures, 'bottleneck: load 90 % busy')
}

t.test('plain: where the time went is a line after its epoch; what is true just now is left out', t => {
  t.equal(written('plain', epoch), 'epoch 1/2  loss 0.5\nbottleneck: load 90 % busy\n')
  t.equal(
    written('plain', progress => progress.stages(figures, '')),
    '',
    'without words nothing is said',
  )
  t.end()
})

t.test('json: where the time went is an event of its own, with all figures', t => {
  const events = written('json', epoch)
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as object)
  t.same(events.at(-1), { type: 'stages', ...figures })
  t.match(
    events.map(event => (event as { type: string }).type),
    ['begin', 'advance', 'epoch', 'stages'],
  )
  t.end()
})

t.test('tty: one line under the bar, which each newer one replaces', t => {
  const text = written('tty', progress => {
    epoch(progress)
    progress.note('on it goes')
    progress.begin('epoch 2/2', 4)
    progress.status('bottleneck: train 99 % busy')
    progress.note('to the end')
  })
  const frames = text.split('on it goes')
  t.match(frames[0], 'epoch 1/2  loss 0.5', 'events stay above')
  t.match(frames[1], /epoch 1\/2.*\n.*bottleneck: load 90 % busy/)
  const last = text.split('to the end')[1]!
  t.match(last, /epoch 2\/2.*\n.*bottleneck: train 99 % busy/)
  t.notMatch(last, 'load', 'the line before is gone')
  t.equal(last.split('bottleneck').length, 2)
  t.end()
})

t.test('tty: before there is a bar there is no line under it', t => {
  t.notMatch(
    written('tty', progress => progress.status('bottleneck: load')),
    'bottleneck',
  )
  t.end()
})

function batch(progress: Progress): void {
  progress.begin('infer', 4)
  progress.advance(1, undefined, 3240)
  progress.event('skipped', { case: 'a' }, '')
  progress.note('on it goes')
}

t.test('who knows better than the bar how long it takes is believed', t => {
  t.match(written('tty', batch), /infer .* 1\/4 about 54 min left/)
  t.match(written('json', batch), '"done":1,"total":4,"secondsLeft":3240')
  t.equal(written('plain', batch), 'on it goes\n', 'without words there is no line')
  t.end()
})

t.test('none: nothing', t => {
  t.equal(written('none', epoch), '')
  t.end()
})
