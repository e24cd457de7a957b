/** A Python with the packages that a comparison needs: the one that a variable names, or a virtual environment made for it. */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Installs the pinned packages of `requirements` into `folder` on first use. An Error where the `variable`'s is not there. */
export function pythonWith(requirements: string, folder: string, variable = 'PARITY_PYTHON'): string {
  const given = process.env[variable]
  if (given !== undefined) {
    if (!existsSync(given)) throw new Error(`${variable}: expected the path of a Python, found nothing at ${given}`)
    return given
  }
  const stamp = join(
    folder,
    `ctflow-${createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)}`,
  )
  if (!existsSync(stamp)) {
    console.error(`installing the packages of ${requirements} into ${folder}`)
    // Its own output may be read by a program.
    const stdio = ['ignore', process.stderr, 'inherit'] as ['ignore', NodeJS.WriteStream, 'inherit']
    execFileSync('python3', ['-m', 'venv', '--clear', folder], { stdio })
    const pip = [join(folder, 'bin', 'pip'), 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]
    execFileSync(pip[0]!, pip.slice(1), { stdio })
    writeFileSync(stamp, '')
  }
  return join(folder, 'bin', 'python')
}
