import t from 'tap'
import { parseScript, readScripts } from '../../../interop/mmar/scripts.ts'

t.test('values after --set, over continued lines, without comments', async t => {
  const text = [
    '#!/usr/bin/env bash',
    'CONFIG_FILE="config/config_train.json"',
    '# --set commented=1',
    'python -m torch.distributed.launch --nproc_per_node=2 -m medl.apps.train \\',
    '    -m $MMAR_ROOT -c $CONFIG_FILE -e ${ENVIRONMENT_FILE} \\',
    '    --set \\',
    '    print_conf=True \\',
    "    learning_rate=2e-4 'name=a b' \\  ",
    '    list=[1,2] \\',
    '    epochs=${EPOCHS} \\',
    '    ${additional_options}',
    'echo done=1',
  ].join('\n')
  t.same(parseScript('train.sh', text), {
    name: 'train.sh',
    config: 'config/config_train.json',
    overrides: [
      ['print_conf', true],
      ['learning_rate', 2e-4],
      ['name', 'a b'],
      ['list', [1, 2]],
    ],
    dynamic: ['epochs=${EPOCHS}', '${additional_options}'],
  })
})

t.test('the values end with the next option or command, and Windows line ends are line ends', async t => {
  t.same(parseScript('a.sh', 'x --set a=1 \\\r\n b=2 --verbose c=3\r\n').overrides, [
    ['a', 1],
    ['b', 2],
  ])
  t.same(parseScript('a.sh', 'x --set a=1 ; export b=2').overrides, [['a', 1]])
})

t.test('a shell variable of the script is filled in, a command in it is not run', async t => {
  t.same(parseScript('a.sh', 'N=5\nx --set a=$N b=$(reboot) c=`reboot`'), {
    name: 'a.sh',
    overrides: [['a', 5]],
    dynamic: ['b=$(reboot)', 'c=`reboot`'],
  })
})

t.test('scripts without --set, that are no text, or that are not there', async t => {
  t.same(parseScript('a.sh', 'ls -la\n"unclosed'), { name: 'a.sh', overrides: [], dynamic: [] })
  const dir = t.testdir({
    'b.sh': 'x --set a=1',
    'bin.sh': Buffer.from([0, 255, 254, 10]),
    'readme.txt': '',
    'd.sh': {},
  })
  t.same(
    readScripts(dir).map(({ name, overrides }) => [name, overrides.length]),
    [
      ['b.sh', 1],
      ['bin.sh', 0],
    ],
  )
  t.same(readScripts(`${dir}/none`), [])
})
