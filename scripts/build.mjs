/** Compiles what is in the tree: TypeScript to dist/, the C++ addon to build/. `npm ci` calls it as the root's own script. */

import { chmodSync, existsSync, rmSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { buildAddon } from './build-addon.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = new URL('../node_modules/typescript/bin/tsc', import.meta.url)

/** TypeScript is a development dependency: a production install brings dist/ along and compiles the addon only. */
async function compileTypeScript() {
  if (!existsSync(tsc)) {
    if (existsSync(new URL('../dist/bin/run-pipeline.js', import.meta.url))) return
    throw new Error('dist/ is missing and so is TypeScript: install the development dependencies (npm ci)')
  }
  // What TypeScript remembers of the last build is no use without what it built.
  if (!existsSync(new URL('../dist/bin/run-pipeline.js', import.meta.url)))
    rmSync(new URL('../build/.tsbuildinfo', import.meta.url), { force: true })
  await run(process.execPath, [fileURLToPath(tsc)])
  // npm sets this when it links a command, and npx links only the first time.
  chmodSync(new URL('../dist/bin/run-pipeline.js', import.meta.url), 0o755)
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit' })
    child.on('error', reject)
    child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`${args.at(-1)} ended with ${code}`))))
  })
}

const results = await Promise.allSettled([compileTypeScript(), buildAddon()])
for (const { status, reason } of results) {
  if (status === 'rejected') {
    console.error(reason.message)
    process.exitCode = 1
  }
}
