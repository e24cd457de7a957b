/** The interactive viewer: NiiVue and its cases' files lie in the page. */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { PipelineError } from '../../pipeline/errors.ts'
import { viewerButton } from './gallery.ts'
import { html, scriptJson, type Html } from './html.ts'
import type { ViewerCase } from './page.ts'

/** HU that are black and white when a case opens. */
const window = [-1000, 500] as const

/** NiiVue as a script that defines `niivue`. ERR_FILE where the package is damaged. */
export async function viewerLibrary(): Promise<string> {
  // The package exports modules only; the script lies beside them.
  const path = fileURLToPath(new URL('../../dist/niivue.umd.js', import.meta.resolve('@niivue/niivue')))
  const source = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PipelineError(
      'ERR_FILE',
      `${path}: expected the viewer's script, found none to read; install the packages anew`,
      { path },
      { cause },
    )
  })
  // Inside a script element these would be markup; in a string of JavaScript the backslash means nothing.
  return `/* NiiVue, BSD-2-Clause: https://github.com/niivue/niivue */\n${source.replaceAll(/<(?=\/script|!--)/gi, '\\x3c')}`
}

export function viewerSection(cases: readonly ViewerCase[]): Html {
  return html`<p class="note">
      Mask and reference upon the scan, cut out around the lesions; drag to move through the planes.
    </p>
    <noscript><p>The viewer needs JavaScript.</p></noscript>
    <ul class="viewer">
      ${cases.map(({ case: id }, i) => html`<li>${viewerButton(id, i, id)}</li> `)}
    </ul> `
}

/** The window over the page, and the files. */
export function viewerOverlay(cases: readonly ViewerCase[]): Html {
  return html`<dialog aria-labelledby="dialog-title">
      <div class="bar">
        <h2 id="dialog-title">Case</h2>
        <button type="button" class="close">Close</button>
      </div>
      <p>
        <span class="legend"
          ><span><i class="swatch"></i>reference</span><span><i class="swatch prediction"></i>mask</span></span
        >
        <span role="status"></span>
      </p>
      <div class="stage">
        <canvas tabindex="0" aria-label="The scan in three planes, with mask and reference"></canvas>
      </div>
    </dialog>
    ${cases.map(
      (each, i) =>
        html`<script type="application/json" id="viewer-${i + 1}">
          ${scriptJson({
            case: each.case,
            window,
            scan: base64(each.scan),
            prediction: base64(each.prediction),
            reference: base64(each.reference),
          })}
        </script> `,
    )}`
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
