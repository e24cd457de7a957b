/** The Python environment of the peers: made once under bench/.venv, or one that is already there. */

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../pipeline/errors.ts'
import { projectRoot } from '../machine.ts'
import type { Command } from '../network/contender.ts'

const folder = join(projectRoot(), 'bench', '.venv')
const requirements = join(projectRoot(), 'bench', 'peers', 'requirements.txt')
/** Says which requirements are installed. */
const stampFile = join(folder, 'requirements.sha256')

/** Of the Python that has the peers. `PEERS_PYTHON` names one; else it is made, which downloads some gigabytes. */
export async function peersPython(): Promise<string> {
  const given = process.env['PEERS_PYTHON']
  if (given) return given
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const wanted = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
  if (existsSync(python) && (await readFile(stampFile, 'utf8').catch(() => '')) === wanted) return python
  console.error(`making ${folder} with what ${requirements} names: some gigabytes`)
  await run('python3', ['-m', 'venv', folder])
  await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements])
  await writeFile(stampFile, wanted)
  return python
}

let found: Promise<string | { readonly missing: string }> | undefined

/** The interpreter, or why there is none; asked once. */
function findPeers(): Promise<string | { readonly missing: string }> {
  found ??= peersPython().then(
    python => {
      const { status, stderr, error } = spawnSync(python, ['-c', 'import monai, nibabel, onnxruntime, torch'], {
        encoding: 'utf8',
      })
      if (status === 0) return python
      const why = error ? error.message : stderr.trim().split('\n').at(-1)
      return { missing: `${python} does not have the peers: ${why}` }
    },
    (error: unknown) => ({ missing: `no Python environment for the peers: ${messageOf(error)}` }),
  )
  return found
}

/** Why no peer can take part; undefined where they can. */
export async function peersMissing(): Promise<string | undefined> {
  const python = await findPeers()
  return typeof python === 'string' ? undefined : python.missing
}

/** The peers' program; an error where they are missing. */
export async function peerCommand(timeoutSeconds: number): Promise<Command> {
  const python = await findPeers()
  if (typeof python !== 'string') throw new Error(python.missing)
  return { file: python, args: [join(projectRoot(), 'bench', 'peers', 'peer.py')], timeoutSeconds }
}

function run(file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // What it prints is for people; stdout belongs to the figures.
    const child = spawn(file, args, { stdio: ['ignore', process.stderr, process.stderr] })
    child.on('error', error => reject(new Error(`${file} does not start: ${error.message}`, { cause: error })))
    child.on('close', code =>
      code === 0 ? resolve() : reject(new Error(`${file} ${args.join(' ')} ended with ${code}`)),
    )
  })
}
