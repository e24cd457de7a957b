/** What runs in the reader's browser: sorting of the table, and the viewer. Nothing else needs a script. */

/**
 * Headings of `table.cases` become buttons that sort. What is not a number comes last either way; equal rows keep the order
 * that they had at the start.
 */
export const sortScript = `'use strict'
for (const table of document.querySelectorAll('table.cases')) {
  const body = table.tBodies[0]
  const rows = [...body.rows]
  const said = document.getElementById('sorted')
  const valueOf = cell => {
    if ('text' in cell.closest('table').tHead.rows[0].cells[cell.cellIndex].dataset) return cell.textContent
    const text = cell.textContent.replaceAll('\\u202f', '').replace('\\u2212', '-').replace('\\u221e', 'Infinity')
    return text === '' || text === '\\u2013' ? NaN : Number(text)
  }
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement('button')
    button.type = 'button'
    button.append(...head.childNodes)
    head.append(button)
    button.addEventListener('click', () => {
      const isDown = head.ariaSort === 'ascending'
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort')
      head.ariaSort = isDown ? 'descending' : 'ascending'
      const keyed = rows.map((row, i) => ({ row, i, value: valueOf(row.cells[head.cellIndex]) }))
      const isLast = ({ value }) => Number.isNaN(value)
      keyed.sort((a, b) =>
        isLast(a) || isLast(b)
          ? isLast(a) - isLast(b) || a.i - b.i
          : (isDown ? compare(b.value, a.value) : compare(a.value, b.value)) || a.i - b.i)
      body.append(...keyed.map(({ row }) => row))
      said.textContent = 'sorted by ' + button.textContent + ', ' + head.ariaSort
    })
  }
}
`

/** Opens cases in NiiVue, whose classes are in `niivue`; its files lie beside it as JSON. */
export const viewerScript = `'use strict'
{
  const dialog = document.querySelector('dialog')
  const title = dialog.querySelector('h2')
  const status = dialog.querySelector('[role=status]')
  const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer
  const hasWebGL = () => document.createElement('canvas').getContext('webgl2') !== null
  let view
  // The middle of a mask where its planes have most of it, as shares of the extents.
  const middleOf = image => {
    const voxels = image.img2RAS()
    const [, nx, ny, nz] = image.dimsRAS
    let best = { count: 0 }
    for (let z = 0; z < nz; z++) {
      let [count, x, y] = [0, 0, 0]
      for (let at = 0; at < nx * ny; at++) {
        if (voxels[z * nx * ny + at] === 0) continue
        count++
        x += at % nx
        y += Math.floor(at / nx)
      }
      if (count > best.count) best = { count, x: x / count, y: y / count, z }
    }
    return best.count === 0 ? undefined : [(best.x + 0.5) / nx, (best.y + 0.5) / ny, (best.z + 0.5) / nz]
  }
  async function open(button) {
    const files = JSON.parse(document.getElementById(button.dataset.files).textContent)
    title.textContent = files.case
    status.textContent = 'Opening'
    dialog.showModal()
    if (!hasWebGL()) {
      status.textContent = 'This browser or machine offers no WebGL 2, which the viewer needs. The pictures in the gallery need nothing.'
      return
    }
    try {
      if (!view) {
        view = new niivue.Niivue({ backColor: [0, 0, 0, 1], isRadiologicalConvention: true, show3Dcrosshair: false, dragAndDropEnabled: false, isColorbar: false, crosshairWidth: 0.3, crosshairColor: [1, 1, 1, 0.7], multiplanarShowRender: 0, logLevel: 'silent', loadingText: '' })
        view.addColormap('reference', { R: [0, 86], G: [0, 180], B: [0, 233], A: [0, 255], I: [0, 255] })
        view.addColormap('prediction', { R: [0, 245], G: [0, 163], B: [0, 26], A: [0, 255], I: [0, 255] })
        await view.attachToCanvas(dialog.querySelector('canvas'))
        view.onLocationChange = at => { status.textContent = at.string }
      }
      while (view.volumes.length > 0) view.removeVolume(view.volumes[view.volumes.length - 1])
      const add = async (text, name, options) => {
        const image = await niivue.NVImage.loadFromUrl({ url: bytesOf(text), name, ...options })
        view.addVolume(image)
        return image
      }
      await add(files.scan, 'scan.nii.gz', { colormap: 'gray', cal_min: files.window[0], cal_max: files.window[1] })
      const reference = await add(files.reference, 'reference.nii.gz', { colormap: 'reference', opacity: 0.45, cal_min: 0.5, cal_max: 1 })
      const prediction = await add(files.prediction, 'prediction.nii.gz', { colormap: 'prediction', opacity: 0.45, cal_min: 0.5, cal_max: 1 })
      view.scene.crosshairPos = middleOf(reference) ?? middleOf(prediction) ?? [0.5, 0.5, 0.5]
      view.drawScene()
      status.textContent = ''
    } catch (error) {
      status.textContent = 'The case could not be shown: ' + error.message
    }
  }
  for (const button of document.querySelectorAll('button.open')) {
    button.hidden = false
    button.addEventListener('click', () => void open(button))
  }
  dialog.querySelector('button.close').addEventListener('click', () => dialog.close())
}
`
