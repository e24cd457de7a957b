/**
 * The pages in a real browser: Debian's Chromium, or the one that CHROMIUM names. Screenshots go to the folder that
 * SCREENSHOTS names, where somebody wants to look at them.
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { decode } from 'fast-png'
import { chromium, type Browser, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { niftiBytes } from '../../../imaging/nifti-write.ts'
import { evaluationPage, trainingPage } from '../../../report/page/page.ts'
import { gridOf } from '../../support/nifti.ts'
import { samplePicture, sampleReport, sampleTraining } from '../../support/report.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const skip = existsSync(executablePath)
  ? false
  : `no browser at ${executablePath}: run scripts/test-tools.sh, or set CHROMIUM`
const screenshots = process.env['SCREENSHOTS']

const report = sampleReport(40)
const looks = [1280, 390].flatMap(width => (['light', 'dark'] as const).map(colorScheme => ({ width, colorScheme })))

const folder = mkdtempSync(join(tmpdir(), 'ctflow-pages-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const launch = (args: string[] = []): Promise<Browser> =>
  chromium.launch({ executablePath, args: ['--no-sandbox', ...args], env: ownDriver })

/** The tests' own choice of a GPU's driver is none of the browser's, which brings one along. */
const { VK_DRIVER_FILES: _, ...ownDriver } = process.env as Record<string, string>

/** A little scan with a lesion that the mask finds in part. */
async function viewerFile(value: (x: number, y: number, z: number) => number, isMask: boolean): Promise<Uint8Array> {
  const grid = gridOf([24, 20, 12], [2, 2, 4])
  const all = Array.from({ length: 24 * 20 * 12 }, (_, at) =>
    value(at % 24, Math.floor(at / 24) % 20, Math.floor(at / 480)),
  )
  return niftiBytes('made.nii.gz', { grid, voxels: isMask ? Uint8Array.from(all) : Int16Array.from(all) })
}

const inside = (x: number, y: number, z: number): number => Number(Math.hypot(x - 14, y - 9, 2 * (z - 6)) < 5)

const write = (name: string, page: string): string => {
  writeFileSync(join(folder, name), page)
  return pathToFileURL(join(folder, name)).href
}

async function writePages(): Promise<{ evaluation: string; training: string }> {
  const [worst, second] = report.worst as [string, string]
  const viewer = {
    case: worst,
    scan: await viewerFile((x, y) => (Math.hypot(x - 12, y - 10) < 9 ? 40 : -1000), false),
    prediction: await viewerFile((x, y, z) => inside(x + 1, y, z), true),
    reference: await viewerFile(inside, true),
  }
  const pictures = [samplePicture(worst, 'worst'), samplePicture(second, 'worst')]
  return {
    evaluation: write('evaluation.html', await evaluationPage(report, { pictures, viewer: [viewer] })),
    training: write('training.html', await trainingPage(sampleTraining(30))),
  }
}

/** A page that is loaded, and what went wrong in it: errors, and whatever was asked for beside the file itself. */
async function open(
  t: Test,
  browser: Browser,
  url: string,
  { width, colorScheme }: (typeof looks)[number] = looks[0]!,
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => complaints.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => complaints.push(error.message))
  await page.route('**', route => {
    const asked = route.request().url()
    if (asked === url) return route.continue()
    complaints.push(`asked for ${asked}`)
    return route.abort()
  })
  await page.goto(url)
  return { page, complaints }
}

/** The text of a column, top to bottom. */
const column = (page: Page, index: number): Promise<string[]> =>
  page
    .locator('table.cases tbody tr')
    .evaluateAll(
      (rows, index) =>
        (rows as unknown as { cells: { textContent: string }[] }[]).map(row => row.cells[index]!.textContent.trim()),
      index,
    )

t.test('pages in a browser', { skip }, async t => {
  const urls = await writePages()
  const browser = await launch()
  t.teardown(() => browser.close())

  for (const [name, url] of Object.entries(urls)) {
    for (const look of looks) {
      t.test(
        `${name} at ${look.width} pixels, ${look.colorScheme}: fits, asks for nothing, complains of nothing`,
        async t => {
          const { page, complaints } = await open(t, browser, url, look)
          const widths = await page.evaluate('[document.documentElement.scrollWidth, window.innerWidth]')
          t.same(widths, [look.width, look.width], 'nothing is wider than the window')
          // Whatever reaches out of the window lies in a box that scrolls.
          const cut = await page.evaluate(`[...document.querySelectorAll('main *')].filter(e => {
          const box = e.getBoundingClientRect()
          return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !e.closest('.scroll') && !e.closest('svg') && !e.closest('dialog')
        }).map(e => e.outerHTML.slice(0, 80))`)
          t.same(cut, [])
          const small =
            await page.evaluate(`[...document.querySelectorAll('.plot')].filter(e => e.checkVisibility()).filter(e => {
          const svg = e.firstElementChild
          return 11 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width < 10
        }).length`)
          t.equal(small, 0, 'no text of a chart is smaller than 10 pixels')
          if (screenshots)
            await page.screenshot({
              path: join(screenshots, `${name}-${look.width}-${look.colorScheme}.png`),
              fullPage: true,
            })
          t.same(complaints, [])
        },
      )
    }
  }

  t.test('the table sorts by mouse and by keyboard; what has no value is last', async t => {
    const { page } = await open(t, browser, urls.evaluation)
    const ranks = await column(page, 0)
    t.same(
      ranks,
      report.worst.map((_, i) => String(i + 1)),
      'worst first',
    )
    const dice = page.locator('table.cases').getByRole('columnheader', { name: 'Dice', exact: true })
    await dice.getByRole('button').click()
    t.equal(await dice.getAttribute('aria-sort'), 'ascending')
    const ascending = (await column(page, 2)).map(Number)
    t.same(
      ascending,
      ascending.toSorted((a, b) => a - b),
    )
    await dice.getByRole('button').focus()
    await page.keyboard.press('Enter')
    t.equal(await dice.getAttribute('aria-sort'), 'descending')
    const descending = (await column(page, 2)).map(Number)
    t.same(
      descending,
      descending.toSorted((a, b) => b - a),
    )
    t.equal(await page.locator('[aria-sort]').count(), 1)

    const percent = page.locator('table.cases').getByRole('columnheader', { name: 'Volume error (%)', exact: true })
    await percent.getByRole('button').press('Space')
    const at = 2 + Object.keys(report.metrics).indexOf('differencePercent')
    for (const press of [1, 2]) {
      const texts = await column(page, at)
      const first = texts.indexOf('–')
      t.ok(first > 0, 'some have no value')
      t.same(new Set(texts.slice(first)), new Set(['–']), `after ${press}`)
      await percent.getByRole('button').press('Space')
    }
    t.match(await page.getByRole('status').first().textContent(), 'sorted by Volume error (%)')
  })

  t.test('a row leads to its picture and back', async t => {
    const { page } = await open(t, browser, urls.evaluation)
    await page.locator('table.cases a').first().click()
    const figure = page.locator('figure:target')
    t.equal(await figure.count(), 1)
    await figure.locator('figcaption a').click()
    t.match(await page.locator('tr:target').textContent(), report.worst[0]!)
  })

  t.test('landmarks, names and the order of headings', async t => {
    const { page } = await open(t, browser, urls.evaluation)
    for (const role of ['banner', 'navigation', 'main', 'contentinfo'] as const)
      t.equal(await page.getByRole(role).count(), 1, role)
    const levels = (await page
      .locator('h1:visible, h2:visible, h3:visible')
      .evaluateAll(all =>
        (all as unknown as { tagName: string }[]).map(({ tagName }) => Number(tagName[1])),
      )) as number[]
    t.equal(levels[0], 1)
    t.ok(levels.every((level, i) => i === 0 || level <= levels[i - 1]! + 1))
    for (const picture of await page.getByRole('img').all()) {
      t.ok(((await picture.getAttribute('aria-label')) ?? (await picture.getAttribute('alt')) ?? '').length > 10)
    }
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the figures')
  })

  t.test('text stands out against its ground, light and dark', async t => {
    for (const look of [looks[0]!, looks[1]!]) {
      const { page } = await open(t, browser, urls.evaluation, look)
      const ratios = (await page.evaluate(`(() => {
        const style = getComputedStyle(document.documentElement)
        const light = name => {
          const hex = style.getPropertyValue(name).trim().slice(1)
          const parts = (hex.length === 3 ? [...hex].map(c => c + c) : hex.match(/../g)).map(part => parseInt(part, 16) / 255)
          const [r, g, b] = parts.map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
          return 0.2126 * r + 0.7152 * g + 0.0722 * b
        }
        const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05)
        return ['--ink', '--faint', '--mark', '--accent', '--good', '--bad'].flatMap(ink =>
          ['--ground', '--target'].map(ground => [ink + ' on ' + ground, ratio(ink, ground)]))
      })()`)) as [string, number][]
      for (const [pair, ratio] of ratios) t.ok(ratio >= 4.5, `${look.colorScheme}: ${pair} ${ratio.toFixed(2)}`)
    }
  })

  t.test('on paper there are no controls, and the table is whole', async t => {
    const { page } = await open(t, browser, urls.evaluation)
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
    t.equal(await page.locator('nav').isVisible(), false)
    t.equal(await page.locator('button.open').first().isVisible(), false)
    t.equal(await page.evaluate("getComputedStyle(document.querySelector('.tall')).overflowY"), 'visible')
    t.equal(await page.evaluate('getComputedStyle(document.body).backgroundColor'), 'rgb(255, 255, 255)')
    if (screenshots) await page.pdf({ path: join(screenshots, 'evaluation.pdf'), preferCSSPageSize: true })
  })

  t.test('without JavaScript all figures are there', async t => {
    const context = await browser.newContext({ javaScriptEnabled: false })
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.goto(urls.evaluation)
    t.equal(await page.locator('table.cases tbody tr').count(), report.cases.length)
    t.equal(await page.locator('button:visible').count(), 0)
  })

  t.test('without WebGL the viewer says so in words', async t => {
    const without = await launch(['--disable-gpu', '--disable-3d-apis'])
    t.teardown(() => without.close())
    const { page, complaints } = await open(t, without, urls.evaluation)
    await page.locator('button.open').first().click()
    t.match(await page.locator('dialog [role=status]').textContent(), 'no WebGL 2')
    await page.getByRole('button', { name: 'Close' }).click()
    t.equal(await page.locator('dialog').isVisible(), false)
    t.same(complaints, [])
  })

  t.test('a case opens in the viewer, offline', async t => {
    const drawing = await launch(['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'])
    t.teardown(() => drawing.close())
    const { page, complaints } = await open(t, drawing, urls.evaluation)
    const button = page.getByRole('button', { name: `Open ${report.worst[0]!} in the viewer` }).first()
    await button.focus()
    await page.keyboard.press('Enter')
    const status = page.locator('dialog [role=status]')
    await page.locator('dialog [role=status]:not(:text("Opening"))').waitFor({ state: 'attached', timeout: 120_000 })
    t.notMatch(await status.textContent(), /could not|no WebGL/)
    t.equal(await page.locator('dialog h2').textContent(), report.worst[0])
    // Both masks lie upon the scan in their colours.
    const png = await page.locator('dialog canvas').screenshot()
    if (screenshots) writeFileSync(join(screenshots, 'viewer.png'), png)
    const { data, channels } = decode(png)
    let coloured = 0
    for (let at = 0; at < data.length; at += channels) if (Math.abs(data[at]! - data[at + 2]!) > 40) coloured++
    t.ok(coloured > 500, `${coloured} coloured pixels`)
    await page.keyboard.press('Escape')
    t.equal(await page.locator('dialog').isVisible(), false)
    t.same(complaints, [])
  })
})
