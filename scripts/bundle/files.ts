/** Which files of the project and of its packages a bundle needs: what is imported is traced, what is read by its path is named. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeFileTrace } from '@vercel/nft'

/** What users have of the project beside its programs, as `files` of package.json has it, and what benches read. */
const ownFolders = ['schemas', 'deploy', 'docs', 'fixtures/pipelines', 'bench']
const ownEndings = /\.(json|md|py|txt|sh|yaml|service|timer|sbatch|example)$/
const ownFiles = ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'build/ctflow.node']

/** Packages that are loaded by name only when their backend is asked for. */
const backends = ['webgpu', '@tensorflow/tfjs-backend-webgpu']
const dawn = 'node_modules/webgpu/dist/'
/** Scripts that go into pages as they are. */
const readByPath = ['node_modules/@niivue/niivue/dist/niivue.umd.js']

const licenseName = /^(licen[cs]e|copying|notice|third-?party)/i

/**
 * Paths below `root`, sorted. All that was compiled from a source that is there but tests and maintainers' scripts, whatever it
 * imports, and the texts and licences beside it. An Error where one that is read by its path is missing.
 */
export async function bundleFiles(root: string, platform = `${process.platform}-${process.arch}`): Promise<string[]> {
  const compiled = filesBelow(root, 'dist').filter(
    // What a removed source left in dist/ is nobody's.
    path => path.endsWith('.js') && !/^dist\/(test|scripts)\//.test(path) && existsSync(sourceOf(root, path)),
  )
  const packages = backends.map(name => mainFile(root, name))
  const { fileList } = await nodeFileTrace(
    [...compiled, ...packages].map(path => join(root, path)),
    { base: root },
  )
  // Dawn lies there for every platform, 20 MB each.
  const foreign = (path: string): boolean => path.startsWith(dawn) && !path.startsWith(`${dawn}${platform}/`)
  const traced = [...fileList].filter(path => !foreign(path))
  const named = [
    ...ownFiles,
    ...readByPath,
    ...ownFolders
      .flatMap(folder => filesBelow(root, folder))
      .filter(path => ownEndings.test(path) && !path.includes('/.')),
    // The codecs' scripts fetch what lies beside them.
    ...traced.map(path => path.replace(/\.js$/, '.wasm')).filter(path => existsSync(join(root, path))),
  ]
  for (const path of named) {
    if (!existsSync(join(root, path)))
      throw new Error(
        `${join(root, path)}: expected a file for the bundle, found none; run "npm ci" and "npm run build"`,
      )
  }
  const all = [...traced, ...named]
  const licenses = packageFolders(all).flatMap(folder => licensesIn(root, folder))
  return [...new Set([...all, ...licenses])].toSorted()
}

/** Folders of packages that files are of, sorted: `node_modules/vega`. */
export function packageFolders(files: readonly string[]): string[] {
  const folders = files.map(path => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0])
  return [...new Set(folders.filter(folder => folder !== undefined))].toSorted()
}

/** Texts of a package that its licence asks to hand on. */
export function licensesIn(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(entry => entry.isFile() && licenseName.test(entry.name) && !/\.[cm]?[jt]s$/.test(entry.name))
    .map(entry => `${folder}/${entry.name}`)
    .toSorted()
}

function mainFile(root: string, name: string): string {
  const folder = `node_modules/${name}`
  try {
    const { main } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as { main: string }
    return `${folder}/${main}`
  } catch (cause) {
    throw new Error(
      `${folder}: expected the package of the webgpu backend, found none; run "npm ci --include=optional"`,
      {
        cause,
      },
    )
  }
}

function sourceOf(root: string, compiled: string): string {
  return join(root, compiled.replace(/^dist\//, '').replace(/\.js$/, '.ts'))
}

/** Paths below `root` with slashes. */
function filesBelow(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(root.length + 1))
}
