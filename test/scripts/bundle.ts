import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectRoot } from '../../bench/machine.ts'
import { bundleFiles, packageFolders } from '../../scripts/bundle/files.ts'
import { licenseTexts } from '../../scripts/bundle/licenses.ts'
import { dynamicLoader, glibcNeeded, hostLibrary, withDependencies } from '../../scripts/bundle/libraries.ts'
import { filled } from '../../scripts/bundle/texts.ts'

const linux = process.platform === 'linux' ? false : 'a bundle is made on Linux'
const root = projectRoot()

t.test('a bundle has what is imported and what is read by its path, and nothing else', { skip: linux }, async t => {
  const files = await bundleFiles(root, 'linux-x64')
  t.same(files, [...new Set(files)].toSorted())
  const has = (path: string): boolean => files.includes(path)
  const needed = [
    'dist/bin/run-pipeline.js',
    'dist/engine/worker.js',
    'dist/bench/network/ours.js',
    'build/ctflow.node',
    'schemas/pipeline.schema.json',
    'fixtures/pipelines/train.json',
    'bench/peers/peer.py',
    'node_modules/@niivue/niivue/dist/niivue.umd.js',
    'node_modules/@cornerstonejs/codec-openjpeg/dist/openjpegwasm_decode.wasm',
    'node_modules/webgpu/dist/linux-x64/dawn.node',
    'node_modules/vega/package.json',
    'node_modules/webgpu/LICENSE.md',
  ]
  t.same(
    needed.filter(path => !has(path)),
    [],
  )
  t.same(
    files.filter(path => path.startsWith('node_modules/webgpu/dist/')),
    ['node_modules/webgpu/dist/linux-x64/dawn.node'],
  )
  t.same(
    files.filter(path => /^dist\/test|^node_modules\/(typescript|tap|@vercel|tar)\/|\.(map|venv)/.test(path)),
    [],
  )

  const texts = licenseTexts(root, files, [])
  const page = texts.get('packages.txt')!
  const wanting = packageFolders(files).filter(folder => {
    const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const line = page.split('\n').find(line => line.startsWith(`${name} `))
    const where = /: [^;]+; ([^;]+)/.exec(line ?? '')?.[1]?.split(', ') ?? ['']
    return !where.every(path => has(path.replace('app/', '')) || texts.has(path.replace('licenses/', '')))
  })
  t.same(wanting, [], "a licence's text for every package")
})

t.test('a bundle is not made without a backend that is optional', { skip: linux }, async t => {
  const folder = t.testdir({ dist: {}, 'package.json': '{}' })
  await t.rejects(bundleFiles(folder), {
    message: /node_modules\/webgpu: expected the package .*"npm ci --include=optional"/,
  })
})

/** A folder as a bundle unpacks to, whose program prints what it was given. */
function unpacked(folder: string, values: Readonly<Record<string, string>>): string {
  for (const path of ['node', 'app']) mkdirSync(join(folder, path), { recursive: true })
  copyFileSync(process.execPath, join(folder, 'node', 'node'))
  const program =
    'console.log(JSON.stringify([process.argv.slice(2), process.execPath, process.env.LD_LIBRARY_PATH ?? null]))'
  writeFileSync(join(folder, 'app', 'program.js'), program)
  const launcher = join(folder, 'ctflow')
  const usual = { PROGRAM: 'program.js', LOADER: dynamicLoader, ARCH: process.arch, GLIBC: '2.35' }
  writeFileSync(launcher, filled('launcher.sh', { ...usual, FILES: '"$here/node/node"', ...values }))
  chmodSync(launcher, 0o755)
  return launcher
}

function launch(launcher: string, args: readonly string[] = []) {
  const env = { PATH: '/usr/bin:/bin' }
  const { status, stdout, stderr } = spawnSync(launcher, args, { env, encoding: 'utf8' })
  return { status, stderr, told: status === 0 ? (JSON.parse(stdout) as [string[], string, string | null]) : undefined }
}

t.test(
  "the launcher starts the folder's own Node.js, wherever it lies and however it is called",
  { skip: linux },
  async t => {
    const folder = join(t.testdir(), 'a folder with $signs')
    const launcher = unpacked(folder, {})
    const link = join(t.testdirName, 'link')
    symlinkSync(launcher, link)
    for (const name of [launcher, link]) {
      const { told } = launch(name, ['one two', '--three', ''])
      t.same(told?.slice(0, 2), [['one two', '--three', ''], join(folder, 'node', 'node')])
      // Libraries of the host serve, since this test runs with them; Vulkan's loader may not be there.
      t.notMatch(told?.[2] ?? '', 'c++')
    }
  },
)

t.test('the launcher brings the C++ runtime where that of the host is missing or too old', { skip: linux }, async t => {
  for (const said of [
    'libstdc++.so.6 => not found',
    "version `GLIBCXX_3.4.99' not found",
    'cannot open shared object file',
  ]) {
    const folder = join(t.testdir(), 'bundle')
    // Stands in for the dynamic loader, and says what that says on such a host.
    const loader = join(t.testdirName, 'loader')
    writeFileSync(loader, `#!/bin/sh\ncat <<'end'\n${said}\nend\n`)
    chmodSync(loader, 0o755)
    const { told } = launch(unpacked(folder, { LOADER: loader }))
    t.equal(told?.[2], `${folder}/lib/c++`, said)
  }
})

t.test(
  "the launcher brings Vulkan's loader where the host has none, after the folders that were given",
  { skip: linux },
  async t => {
    const folder = join(t.testdir(), 'bundle')
    const loader = join(t.testdirName, 'loader')
    writeFileSync(loader, '#!/bin/sh\n[ "$LD_PRELOAD" != libvulkan.so.1 ] || echo "object cannot be preloaded"\n')
    chmodSync(loader, 0o755)
    t.equal(launch(unpacked(folder, { LOADER: loader })).told?.[2], `${folder}/lib/vulkan`)
  },
)

t.test('the launcher says what a host lacks', { skip: linux }, async t => {
  const folder = join(t.testdir(), 'bundle')
  const musl = launch(unpacked(folder, { LOADER: '/lib64/no-such-loader.so' }))
  t.equal(musl.status, 1)
  t.match(musl.stderr, /no-such-loader\.so is not here: this is a build for Linux with glibc \(not musl\)/)
  const loader = join(t.testdirName, 'loader')
  writeFileSync(loader, '#!/bin/sh\necho "version \\`GLIBC_2.35\' not found (required by node)"\n')
  chmodSync(loader, 0o755)
  const old = launch(unpacked(folder, { LOADER: loader }))
  t.equal(old.status, 1)
  t.match(old.stderr, /this host's glibc is too old: expected 2\.35 or newer/)
})

t.test("glibc's version is what the files ask for", { skip: linux }, async t => {
  const folder = t.testdir({ a: 'GLIBC_2.9\0GLIBC_2.17\0', b: 'GLIBCXX_3.4.30\0GLIBC_2.4\0' })
  t.equal(glibcNeeded([join(folder, 'a'), join(folder, 'b')]), '2.17')
})

t.test('a library is handed on with its package and licence, or not at all', { skip: linux }, async t => {
  const found = hostLibrary('libstdc++.so.6')
  if ('missing' in found) t.match(found.missing, /libstdc\+\+|licence|package/)
  else {
    t.match(found.package, /\S+ \d/)
    t.ok(found.licenses.every(path => readFileSync(path).length > 0))
  }
  const names = withDependencies('libstdc++.so.6')
  t.equal(names[0], 'libstdc++.so.6')
  t.notOk(names.includes('libc.so.6') || names.includes('libm.so.6'))
  t.match(hostLibrary('libno-such.so.9'), { missing: /libno-such\.so\.9 is not on this machine/ })
})
