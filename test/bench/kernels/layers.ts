import t from 'tap'
import { cropped } from '../../../bench/kernels/convolutions.ts'
import { convolutionsOf, flopsOf, nameOf, networkWith, shareNeeded } from '../../../bench/kernels/layers.ts'

const patch = [224, 224, 32] as const

t.test('the convolutions of the published network, each shape once', async t => {
  t.same(convolutionsOf(networkWith(8), patch).map(nameOf), [
    '1to8ch/224x224x32',
    '8ch/224x224x32',
    '8to16ch/224x224x32/stride-2',
    '16ch/112x112x16',
    '16to32ch/112x112x16/stride-2',
    '32ch/56x56x8',
    '32to64ch/56x56x8/stride-2',
    '64ch/28x28x4',
    '64to32ch/28x28x4/kernel-1',
    '32to16ch/56x56x8/kernel-1',
    '16to8ch/112x112x16/kernel-1',
    '8to2ch/224x224x32/kernel-1',
  ])
  t.ok(convolutionsOf(networkWith(16), patch).some(convolution => nameOf(convolution) === '128ch/28x28x4'))
})

t.test('FLOPs are two for each tap, input channel, output channel and output voxel', async t => {
  const [first, , down] = convolutionsOf(networkWith(8), patch)
  t.equal(flopsOf(first!), 2 * 27 * 1 * 8 * 224 * 224 * 32)
  t.equal(flopsOf(down!), 2 * 27 * 8 * 16 * 112 * 112 * 16)
})

t.test('what plain loops check keeps channels, stride and the length of rows', async t => {
  for (const convolution of convolutionsOf(networkWith(16), patch)) {
    const small = cropped(convolution)
    t.match(small, { ci: convolution.ci, co: convolution.co, kernel: convolution.kernel, stride: convolution.stride })
    t.equal(small.output[2], convolution.output[2])
    t.ok(small.output.every(extent => extent >= 3))
    t.same(
      small.input,
      small.output.map(extent => extent * convolution.stride),
    )
  }
})

const needed = (name: string): number =>
  shareNeeded(convolutionsOf(networkWith(8), patch).find(convolution => nameOf(convolution) === name)!)
/** Along an axis: the first and the last voxel lack one tap each; at stride 2 only the first does. */
const along = (n: number): number => (3 * n - 2) / (3 * n)
const halved = (n: number): number => (3 * n - 1) / (3 * n)

t.test(
  'taps outside the volume and products that a faster algorithm lacks are counted, and their share is known',
  async t => {
    t.ok(Math.abs(needed('64ch/28x28x4') - (along(28) * along(4) * 2) / 3) < 1e-12)
    t.ok(Math.abs(needed('32to64ch/56x56x8/stride-2') - halved(28) ** 2 * halved(4)) < 1e-12)
    t.equal(needed('8to2ch/224x224x32/kernel-1'), 1)
  },
)
