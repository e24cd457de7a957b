import t from 'tap'
import { decoders } from '../../model/dtypes.ts'

t.test('float32 keeps every bit, those of NaNs too, and memory of its own', async t => {
  const bits = Uint32Array.of(0x7f800001, 0xffc12345, 0x80000000, 1)
  const bytes = Buffer.from(bits.buffer)
  const values = decoders.F32.decode(bytes)
  bytes.fill(0xff)
  t.same([...new Uint32Array(values.buffer)], [0x7f800001, 0xffc12345, 0x80000000, 1])
  t.equal(decoders.F32.decode(Buffer.from('xx\0\0\x80?', 'latin1').subarray(2))[0], 1, 'at an odd place')
})
