import t from 'tap'
import { Pool } from '../../engine/backends/pool.ts'
import { freeBytes, systemFreeBytes } from '../../engine/memory.ts'
import { skip } from '../support/kernels.ts'

t.test('what the system has left is what is available, and free swap', t => {
  const text = 'MemTotal:  24000 kB\nMemFree:  100 kB\nMemAvailable:  2000 kB\nSwapTotal: 500 kB\nSwapFree:  50 kB\n'
  t.equal(systemFreeBytes(text), 2050 * 1024)
  t.equal(systemFreeBytes('MemAvailable:  2000 kB\n'), 2000 * 1024)
  t.equal(systemFreeBytes(''), Infinity, 'a system that does not tell')
  t.end()
})

t.test('this process can have something', t => {
  t.ok(freeBytes() > 1 << 20, String(freeBytes()))
  t.end()
})

t.test('a tensor larger than what the process can have is refused before anything is killed', { skip }, async t => {
  let free = 100 << 20
  const pool = new Pool(() => free)
  const megabyte = (1 << 20) / 4
  const first = pool.take(90 * megabyte)
  free = 10 << 20
  t.throws(() => pool.take(80 * megabyte), {
    code: 'ERR_ENGINE',
    message:
      /no memory for a tensor of .* beside the .* in use \(this process can have .* more\); make the batch or the patch smaller/,
  })
  t.equal(pool.take(8 * megabyte).length, 8 * megabyte, 'small ones are not asked about')
  pool.give(first)
  t.equal(pool.take(90 * megabyte).length, first.length, 'what is here already needs no more')
  t.throws(() => pool.take(91 * megabyte), { code: 'ERR_ENGINE' })
})
