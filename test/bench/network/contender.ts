import t from 'tap'
import { startContender, type Contender } from '../../../bench/network/contender.ts'

/** A program that answers as the script says; `answer(object)` and the parsed `request` are at hand. */
function scripted(script: string, timeoutSeconds = 20): Contender {
  const program = `
    const answer = object => console.log(JSON.stringify(object))
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const request = JSON.parse(line)
      ${script}
    })`
  return startContender({ file: process.execPath, args: ['-e', program], timeoutSeconds })
}

t.test('it is told what to prepare, and does one repetition when asked', async t => {
  const contender = scripted(`
    if (request.do === 'prepare') { globalThis.work = request.work; answer({}) }
    if (request.do === 'repeat') answer({ seconds: 1.5, outcome: [globalThis.work] })
    if (request.do === 'report') answer({ peakBytes: 7, facts: { version: '1' } })`)
  await contender.prepare({ work: 42 })
  t.same(await contender.repeat(), { seconds: 1.5, outcome: [42] })
  t.same(await contender.report(), { peakBytes: 7, facts: { version: '1' } })
  await contender.close()
})

t.test('what libraries print is passed over', async t => {
  const contender = scripted(`console.log('Welcome!'); console.log('{not json'); answer({ seconds: 1, outcome: [] })`)
  t.same(await contender.repeat(), { seconds: 1, outcome: [] })
  await contender.close()
})

t.test('its error is ours, and it may go on', async t => {
  const contender = scripted(`answer(request.do === 'repeat' ? { error: 'no memory' } : { peakBytes: 1, facts: {} })`)
  await t.rejects(contender.repeat(), { message: 'no memory' })
  t.match(await contender.report(), { peakBytes: 1 })
  await contender.close()
})

t.test('one that dies is an error with its last words, then and later', async t => {
  const contender = scripted(`console.error('segmentation fault'); process.exit(3)`)
  await t.rejects(contender.repeat(), { message: /ended with 3: segmentation fault/ })
  await t.rejects(contender.repeat(), { message: /ended with 3/ })
  await contender.close()
})

t.test('one that gives no answer is ended', async t => {
  const contender = scripted('', 0.2)
  await t.rejects(contender.repeat(), { message: /no answer for 0.2 s/ })
  await contender.close()
})

t.test('a program that is not there is an error, not a crash', async t => {
  const contender = startContender({ file: '/nowhere/python', args: [], timeoutSeconds: 5 })
  await t.rejects(contender.prepare({}), { message: /does not start/ })
  await contender.close()
})
