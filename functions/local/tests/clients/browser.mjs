// Headless Chromium, and pages that tell what it complains about.

import { chromium } from 'playwright-core'

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
})

/** The page, and whatever the browser complained about or asked of others. `prepare` runs before it is loaded. */
export async function open(browser, url, { prepare = () => {}, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 820 }, ...options })
  const page = await context.newPage()
  const complaints = []
  const { origin } = new URL(url)
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
  page.on('request', request => request.url().startsWith(origin) || request.url().startsWith('data:') || complaints.push(request.url()))
  await prepare(page)
  await page.goto(url)
  return { page, complaints, close: () => context.close() }
}
