// The status page in headless Chromium: it follows what happens, without a reload.

import assert from 'node:assert/strict'
import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { launch, open as openPage } from './browser.mjs'
import { Local } from './local.mjs'

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
const state = (page, card, word) => page.locator(`#${card} .state`, { hasText: new RegExp(`^${word}$`) }).waitFor({ timeout: 15_000 })

test('every card turns healthy, the pulse beats, and nothing is loaded from outside', async () => {
  const { page, complaints, close } = await open()
  for (const card of ['process', 'database', 'storage']) await state(page, card, 'healthy')
  await state(page, 'stream', 'beating')
  await page.locator('#stream .detail', { hasText: /beat [3-9]/ }).waitFor()
  assert.match(await page.locator('#database .detail').textContent(), /schema (\d+) of \1 · [\d.]+ ms/)
  assert.deepEqual(complaints, [])
  await close()
})

test('a database that hangs turns its card unhealthy, and healthy when it goes on', async () => {
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

test('a bucket that goes turns its card unhealthy, and healthy when it is back', async () => {
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

test('the pulse stops with the process and resumes with the next one, without a reload', async () => {
  const { page, close } = await open()
  await state(page, 'stream', 'beating')
  await local.stop('SIGKILL')
  await state(page, 'stream', 'reconnecting')
  await state(page, 'process', 'unhealthy')
  await local.run()
  await state(page, 'stream', 'beating')
  for (const card of ['process', 'database', 'storage']) await state(page, card, 'healthy')
  await close()
})

test('it fits a phone and a desk, in the light and in the dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, viewport] of [['desk', { width: 1100, height: 820 }], ['phone', { width: 360, height: 740 }]]) {
      const { page, close } = await open({ colorScheme, viewport })
      await state(page, 'database', 'healthy')
      await state(page, 'stream', 'beating')
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
