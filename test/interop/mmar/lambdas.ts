import t from 'tap'
import { isCode, namedOperation, normalised } from '../../../interop/mmar/lambdas.ts'

t.test('the published label lambda is known in its spellings, with the divisor that stands there', async t => {
  for (const text of [
    'lambda x: np.ceil(np.float16(x)/3.0)',
    'lambda x: numpy.ceil(x.astype(numpy.float16) / 3.).astype(numpy.float16)',
    "lambda label: np.ceil(label.astype('float16') / 3).astype('float16')",
    'lambda x: np.float16(np.ceil(np.float16(x) / 3.0))',
    'lambda x: (np.ceil(np.asarray(x, dtype=np.float16) / 3.0))',
    'lambda x: torch.ceil(x.half() / 3.0).half()',
    'lambda x: (x / 3.0).ceil()',
    '  lambda   x :np.ceil( (x)/3.0 )',
  ])
    t.match(namedOperation('label', text), { mapLabel: { divide: 3 } }, text)
  t.match(namedOperation('label', 'lambda x: np.ceil(x / 2)'), { mapLabel: { divide: 2 } })
})

t.test('labels made binary, and labels left alone', async t => {
  for (const text of ['lambda x: x > 0', 'lambda v: (v>0).astype(np.uint8)', 'lambda x: (x > 0.5).float()'])
    t.match(namedOperation('label', text), { mapLabel: { divide: 65535 } }, text)
  t.strictSame(namedOperation('label', 'lambda x: x')?.mapLabel, undefined)
  t.ok(namedOperation('label', 'lambda x: x.astype(np.float32)'))
})

t.test('what looks alike and means something else is not known', async t => {
  for (const text of [
    'lambda x: np.floor(x / 3.0)',
    'lambda x: np.ceil(x / 3.0) + 1',
    'lambda x: np.ceil(y / 3.0)',
    'lambda x: np.ceil(x * x / 3.0)',
    'lambda x: np.ceil(x / 0)',
    'lambda x: np.ceil(x) / 3.0',
    'lambda x: np.ceil(np.bool_(x) / 3.0)',
    'lambda x: x >= 0',
    'lambda x: x > 1',
    'lambda x: x[x > 0]',
    'lambda y: x > 0',
    'lambda x, y: x > 0',
    'lambda x: x if x > 0 else 0',
    'lambda x: __import__("os").system("x") > 0',
    'x > 0',
    'np.ceil(x / 3.0)',
    '',
    'lambda',
    `lambda x: ${'('.repeat(500)}x${')'.repeat(500)}`,
  ])
    t.equal(namedOperation('label', text), undefined, text.slice(0, 60))
})

t.test('an expression means something for its own use only', async t => {
  t.equal(namedOperation('label', "lambda x: x['loss']"), undefined)
  t.equal(namedOperation('output', 'lambda x: x > 0'), undefined)
  t.match(namedOperation('foreground', 'lambda x: x > 0'), { threshold: 0 })
  t.match(namedOperation('foreground', 'lambda img: img > -900.5'), { threshold: -900.5 })
  t.equal(namedOperation('foreground', 'lambda x: x > x.mean()'), undefined)
})

t.test('what is picked from an output, by lambda and by the code of Clara 4.1', async t => {
  for (const [text, picks] of [
    ['lambda x: None', []],
    ["lambda x: x['loss']", ['loss']],
    ['lambda x: (x["pred"], x["label"])', ['pred', 'label']],
    ["lambda o: (o[0]['pred'], o[0]['label'])", ['pred', 'label']],
    ["#monai.handlers.from_engine(['pred', 'label'])", ['pred', 'label']],
    ["#monai.handlers.from_engine(['loss'], first=True)", ['loss']],
    ["#from_engine('image_meta_dict')", ['image_meta_dict']],
  ] as const)
    t.same(namedOperation('output', text)?.picks, picks, text)
  for (const text of [
    "lambda x: x['loss'].item()",
    "#os.system('x')",
    "#monai.handlers.from_engine(['a'] + f())",
    "lambda x: (x['a'], f(x))",
  ])
    t.equal(namedOperation('output', text), undefined, text)
})

t.test('names inside of quotes are not renamed, and code is told from text', async t => {
  t.equal(normalised("lambda image: image['image']"), "x['image']")
  t.equal(normalised('lambda y: x + y'), undefined, 'x is somebody else there')
  t.equal(isCode('lambda x: x'), true)
  t.equal(isCode('#@model.parameters()'), true)
  t.equal(isCode('nearest'), false)
})
