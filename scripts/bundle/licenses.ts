/** What a bundle is made of, and under which licences. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import standardTexts from 'spdx-license-list/full.js'
import { licensesIn, packageFolders } from './files.ts'
import type { HostLibrary } from './libraries.ts'

interface Package {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly repository?: string | { readonly url?: string }
}

/** Below `licenses/` of a bundle: texts by name. */
export function licenseTexts(
  root: string,
  files: readonly string[],
  libraries: readonly HostLibrary[],
): ReadonlyMap<string, string> {
  const texts = new Map<string, string>()
  const packages = packageFolders(files).map(folder => {
    const { name, version, license, repository } = JSON.parse(
      readFileSync(join(root, folder, 'package.json'), 'utf8'),
    ) as Package
    const own = licensesIn(root, folder).map(text => `app/${text}`)
    const standard = own.length > 0 ? [] : standardLicenses(name, license)
    for (const id of standard) texts.set(`spdx/${id}.txt`, standardTexts[id]!.licenseText)
    const home = typeof repository === 'string' ? repository : repository?.url
    const where = [...own, ...standard.map(id => `licenses/spdx/${id}.txt`)].join(', ')
    return `${name} ${version}: ${license}; ${where}${home === undefined ? '' : `; ${home}`}`
  })
  const system = libraries.map(
    ({ soname, package: name, source }) =>
      `${soname}: unchanged from the distribution's package ${name}, whose source is its source package ${source}; licenses/${soname}/`,
  )
  const page = [
    'ctflow: MIT; licenses/ctflow.txt',
    'Node.js: MIT, with the parts that licenses/node.txt lists',
    ...system,
    '',
    'Packages of npm, of each the files that ctflow uses. Where a package brings no text, its licence as SPDX has it:',
    '',
    ...packages,
    '',
  ]
  return new Map([...texts, ['packages.txt', page.join('\n')]])
}

/** Names of SPDX. An Error where a package states none: nobody may hand it on. */
function standardLicenses(name: string, license: string | undefined): string[] {
  const found = (license ?? '').split(/\s+(?:AND|OR)\s+|[()]/).filter(id => id in standardTexts)
  if (found.length === 0)
    throw new Error(`${name}: expected a licence's text or a name that SPDX knows, found ${license ?? 'none'}`)
  return found
}
