// The reference page in headless Chromium, and the API document in TypeScript.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { launch, open } from './browser.mjs'
import { Local } from './local.mjs'

test('the reference page shows every operation, its members and its answers, and loads nothing from outside', async () => {
  const local = await Local.start()
  const browser = await launch()
  try {
    const { page, complaints } = await open(browser, `${local.url}/docs`)
    const { paths } = await (await fetch(`${local.url}/openapi.json`)).json()
    await page.locator('article').nth(Object.keys(paths).length - 1).waitFor()
    const routes = await page.locator('.path').allTextContents()
    assert.deepEqual(routes, Object.keys(paths))
    const database = page.locator('article', { hasText: '/health/db' })
    await database.locator('summary').first().click()
    await database.locator('td', { hasText: 'schema_behind' }).first().waitFor()
    await database.locator('button').click()
    await database.locator('pre', { hasText: '"database":"connected"' }).waitFor()
    const stream = page.locator('article', { hasText: '/sse/heartbeat' })
    await stream.locator('button').click()
    await stream.locator('pre', { hasText: /event: heartbeat[^]*event: heartbeat/ }).waitFor()
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(overflow <= 0, `it scrolls sideways by ${overflow} px`)
    assert.deepEqual(complaints, [])
  } finally {
    await browser.close()
    await local.dispose()
  }
})

test('openapi-typescript makes types of the document that a strict compiler takes', () => {
  const here = new URL('.', import.meta.url).pathname
  const folder = mkdtempSync(join(here, 'typescript-'))
  try {
    const run = (...command) => {
      const { status, stdout, stderr } = spawnSync('npx', ['--no-install', ...command], { cwd: here, encoding: 'utf8' })
      return { status, output: stdout + stderr }
    }
    const made = run('openapi-typescript', '../../openapi.json', '--output', join(folder, 'api.d.ts'))
    assert.equal(made.status, 0, made.output)
    const compile = source => {
      writeFileSync(join(folder, 'client.ts'), `import type { components } from './api'\n${source}`)
      return run('tsc', '--strict', '--noEmit', '--target', 'es2022', '--moduleResolution', 'bundler', '--module', 'esnext', join(folder, 'client.ts'))
    }
    const report = "type Report = components['schemas']['DatabaseReport']\n"
    const good = compile(`${report}export const behind = (report: Report) => report.reason === 'schema_behind' && report.schema?.expected`)
    assert.equal(good.status, 0, good.output)
    const bad = compile(`${report}export const never = (report: Report) => report.reason === 'on_fire'`)
    assert.notEqual(bad.status, 0, 'a reason outside of the closed set compiles')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
