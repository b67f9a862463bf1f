// The status page in headless Chromium: it follows what happens, without a reload.

import assert from 'node:assert/strict'
import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { launch, open as openPage } from './browser.mjs'
import { Local, has, needs } from './local.mjs'

const routes = { process: '/health', database: '/health/db', storage: '/health/storage', stream: '/sse/heartbeat' }
const cards = Object.keys(routes).filter(card => has(routes[card]))
const screenshots = process.env.SCREENSHOTS
let local, browser

before(async () => {
  local = await Local.start()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  await local?.dispose()
})

const open = options => openPage(browser, local.url, options)
const states = { stream: 'beating' }
const healthy = async page => {
  for (const card of cards) await state(page, card, states[card] ?? 'healthy')
}
const state = (page, card, word) => page.locator(`#${card} .state`, { hasText: new RegExp(`^${word}$`) }).waitFor({ timeout: 15_000 })

test('every card turns healthy, the pulse beats, and nothing is loaded from outside', async () => {
  const { page, complaints, close } = await open()
  await healthy(page)
  assert.deepEqual(await page.locator('article').evaluateAll(shown => shown.map(card => card.id)), cards)
  const hints = await page.locator('[data-route]').evaluateAll(shown => shown.map(hint => hint.dataset.route))
  assert.deepEqual(hints, ['/v1/stream/{path}', '/sse/heartbeat', '/health/db'].filter(has))
  if (has('/sse/heartbeat')) await page.locator('#stream .detail', { hasText: /beat [3-9]/ }).waitFor()
  if (has('/health/db')) {
    assert.match(await page.locator('#database .detail').textContent(), /schema (\d+) of \1 · [\d.]+ ms/)
  }
  assert.deepEqual(complaints, [])
  await close()
})

test('a database that hangs turns its card unhealthy, and healthy when it goes on', needs('/health/db'), async () => {
  const { page, close } = await open()
  await state(page, 'database', 'healthy')
  local.signalPostgres('SIGSTOP')
  try {
    await state(page, 'database', 'unhealthy')
    assert.match(await page.locator('#database .detail').textContent(), /timeout/)
    await state(page, 'process', 'healthy')
  } finally {
    local.signalPostgres('SIGCONT')
  }
  await state(page, 'database', 'healthy')
  await close()
})

test('a bucket that goes turns its card unhealthy, and healthy when it is back', needs('/health/storage'), async () => {
  const { page, close } = await open()
  await state(page, 'storage', 'healthy')
  const bucket = join(local.folder, '.local/storage')
  renameSync(bucket, `${bucket}-away`)
  await state(page, 'storage', 'unhealthy')
  assert.match(await page.locator('#storage .detail').textContent(), /bucket not found/)
  renameSync(`${bucket}-away`, bucket)
  await state(page, 'storage', 'healthy')
  await close()
})

test('the pulse stops with the process and resumes with the next one, without a reload', needs('/sse/heartbeat'), async () => {
  const { page, close } = await open()
  await state(page, 'stream', 'beating')
  await local.stop('SIGKILL')
  await state(page, 'stream', 'reconnecting')
  await state(page, 'process', 'unhealthy')
  await local.run()
  await healthy(page)
  await close()
})

test('it fits a phone and a desk, in the light and in the dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, viewport] of [['desk', { width: 1100, height: 820 }], ['phone', { width: 360, height: 740 }]]) {
      const { page, close } = await open({ colorScheme, viewport })
      await healthy(page)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(overflow <= 0, `${name} scrolls sideways by ${overflow} px`)
      const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
      assert.equal(background, colorScheme === 'light' ? 'rgb(246, 245, 242)' : 'rgb(20, 19, 18)')
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true })
        await page.waitForTimeout(6000)
        await page.screenshot({ path: join(screenshots, `${name}-${colorScheme}.png`), fullPage: true })
      }
      await close()
    }
  }
})
