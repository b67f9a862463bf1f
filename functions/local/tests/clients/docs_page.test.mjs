// The viewer of the API document and the pages of problems in headless Chromium, and the document in TypeScript.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { launch, open } from './browser.mjs'
import { Local, needs } from './local.mjs'

let local, browser

before(async () => {
  local = await Local.start()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  await local?.dispose()
})

/** The viewer, with the document of this bundle or a changed one, once it shows the first operation. */
async function view({ change = document => document, ...options } = {}) {
  const prepare = page => page.route('**/openapi.json', async route => {
    const response = await route.fetch()
    await route.fulfill({ response, json: change(await response.json()) })
  })
  const opened = await open(browser, `${local.url}/docs`, { prepare, ...options })
  await opened.page.getByRole('button', { name: 'Test Request' }).first().waitFor()
  return opened
}

/** Opens the form for requests of an operation, which the viewer renders when the sidebar leads to it. */
async function form(page, summary, operation) {
  await page.getByRole('link', { name: summary }).first().click()
  await page.getByRole('button', { name: `Test Request (${operation})` }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: /Send/ }).first().waitFor()
  return dialog
}

const send = dialog => dialog.getByRole('button', { name: /Send/ }).first().click()

/** Waits until the text of an element matches, however its colours split it. */
async function shows(element, pattern) {
  for (let tries = 0; !pattern.test(await element.innerText()); tries += 1) {
    assert.ok(tries < 100, `no ${pattern} in ${await element.innerText()}`)
    await sleep(100)
  }
}

test('the viewer shows every operation and its answers, sends a request, and loads nothing from outside', async () => {
  const { page, complaints, close } = await view()
  const { paths } = await (await fetch(`${local.url}/openapi.json`)).json()
  for (const { summary } of Object.values(paths).flatMap(Object.values)) {
    await page.getByRole('link', { name: summary }).first().waitFor()
  }
  const dialog = await form(page, 'The process is alive', 'get /health')
  await send(dialog)
  // It accepts both media types, and the function takes that for a preference.
  await shows(dialog, /200 OK[^]*"status": "pass"/)
  assert.deepEqual(complaints, [])
  const evaluated = await page.evaluate(async () => {
    await fetch('http://outside.invalid/').catch(() => {})
    setTimeout('window.evaluated = true')
    await new Promise(resolve => setTimeout(resolve, 200))
    return window.evaluated
  })
  assert.equal(evaluated, undefined, 'a text was run as code')
  const blocked = complaints.filter(complaint => complaint.includes('Content Security Policy'))
  assert.ok(blocked.length >= 2, `the policy of the page blocks neither: ${complaints}`)
  await close()
})

const greeting = {
  operationId: 'greet',
  summary: 'Greets',
  security: [{ token: [] }],
  parameters: [
    { name: 'id', in: 'path', required: true, schema: { type: 'integer' }, example: 7 },
    { name: 'loud', in: 'query', required: true, schema: { type: 'boolean' }, example: true },
    { name: 'Idempotency-Key', in: 'header', required: true, schema: { type: 'string' }, example: 'once' },
  ],
  requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' }, example: { name: 'Ada' } } } },
  responses: { 201: { description: 'Greeted' } },
}
const withGreeting = document => {
  document.paths['/greetings/{id}'] = { post: greeting }
  document.components.securitySchemes = { token: { type: 'http', scheme: 'bearer' } }
  return document
}

test('the viewer sends a body, parameters and a token, and shows the problem that comes back', async () => {
  const { page, complaints, close } = await view({ change: withGreeting })
  const dialog = await form(page, 'Greets', 'post /greetings/{id}')
  await dialog.getByRole('button', { name: /Authentication/ }).click()
  await dialog.getByLabel('Bearer Token').fill('a-token')
  const sent = page.waitForRequest(request => request.method() === 'POST')
  await send(dialog)
  const request = await sent
  const url = new URL(request.url())
  assert.equal(url.origin, local.url)
  assert.equal(url.pathname + url.search, '/greetings/7?loud=true')
  assert.deepEqual(request.postDataJSON(), { name: 'Ada' })
  const headers = await request.allHeaders()
  assert.equal(headers.authorization, 'Bearer a-token')
  assert.equal(headers['idempotency-key'], 'once')
  assert.equal(headers['content-type'], 'application/json')
  // No function of this bundle has the route.
  await shows(dialog, /"type": "\/problems\//)
  assert.match(complaints.join(), /^Failed to load resource: the server responded with a status of 40[^,]*$/)
  await close()
})

const withWhoami = document => {
  document.paths['/whoami'] = {
    get: {
      operationId: 'whoami', summary: 'Who asks', security: [{ bearer: [] }, { cookie: [] }],
      responses: { 200: { description: 'The caller', content: { 'application/json': { schema: { type: 'object' } } } } },
    },
  }
  document.components.securitySchemes = {
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    cookie: { type: 'apiKey', in: 'cookie', name: '__Host-token' },
  }
  return document
}

test('a token of local that is pasted opens an operation, and without one the function refuses it', async () => {
  // That of a function which takes any caller: one of the tests, behind the address of local, because streams ask for scopes.
  const called = await local.alone('called')
  const { page, complaints, close } = await view({ change: withWhoami })
  await page.route('**/whoami', async route => route.fulfill({ response: await route.fetch({ url: `${called.url}/whoami` }) }))
  try {
    const dialog = await form(page, 'Who asks', 'get /whoami')
    await send(dialog)
    await shows(dialog, /401[^]*"type": "\/problems\/token-/)
    await dialog.getByRole('button', { name: /Authentication/ }).click()
    await dialog.getByLabel('Bearer Token').fill(local.print('token', '--sub', 'alice'))
    await send(dialog)
    await shows(dialog, /200 OK[^]*"subject": "alice"/)
    assert.match(complaints.join(), /^Failed to load resource: the server responded with a status of 401[^,]*$/)
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))
    assert.ok(!kept.includes('eyJ'), 'the page keeps the token')
    assert.ok(!(await (await fetch(`${local.url}/docs`)).text()).includes('eyJ'), 'the page brings a token')
  } finally {
    called.end()
    await close()
  }
})

test('with a token that is pasted, a stream is created, appended to, read and deleted', needs('/v1/stream/{path}'), async () => {
  const { page, complaints, close } = await view()
  const token = local.print('token', '--scope', 'streams:read streams:write')
  for (const [summary, operation, expected] of [
    ['Creates a stream', 'put /v1/stream/{path}', /201 Created/],
    ['Appends to a stream', 'post /v1/stream/{path}', /204 No Content/],
    ['Reads a stream', 'get /v1/stream/{path}', /200 OK[^]*"type": "opened"/],
    ['Deletes a stream', 'delete /v1/stream/{path}', /204 No Content/],
  ]) {
    const dialog = await form(page, summary, operation)
    if (operation.startsWith('put')) {
      await dialog.getByRole('button', { name: /Authentication/ }).click()
      await dialog.getByLabel('Bearer Token').fill(token)
    }
    await send(dialog)
    await shows(dialog, expected)
    await page.keyboard.press('Escape')
  }
  assert.deepEqual(complaints, [])
  await close()
})

test('the viewer shows a stream while it runs, and the page stays usable', needs('/sse/heartbeat'), async () => {
  const { page, complaints, close } = await view()
  const dialog = await form(page, 'A stream that beats', 'get /sse/heartbeat')
  await send(dialog)
  await shows(dialog, /Listening[^]*(event: heartbeat[^]*){3}/)
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await page.keyboard.press('Escape')
  const next = await form(page, 'The process is alive', 'get /health')
  await send(next)
  await shows(next, /200 OK[^]*"status": "pass"/)
  assert.deepEqual(complaints, [])
  await close()
})

test('the viewer and the pages of problems fit a phone and a desk, in the light and in the dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const viewport of [{ width: 1100, height: 820 }, { width: 360, height: 740 }]) {
      const { page, complaints, close } = await view({ colorScheme, viewport })
      for (const path of ['/docs', '/problems', '/problems/not-found']) {
        if (path !== '/docs') await page.goto(local.url + path)
        const [overflow, background] = await page.evaluate(() => [
          document.documentElement.scrollWidth - innerWidth,
          getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
        ])
        assert.ok(overflow <= 0, `${path} scrolls sideways by ${overflow} px`)
        assert.equal(Math.min(...background) > 128, colorScheme === 'light', `${path}: ${background}`)
      }
      assert.deepEqual(complaints, [])
      await close()
    }
  }
})

test('every type of a problem in the document has a page, which leads to the viewer', async () => {
  const { page, complaints, close } = await open(browser, local.url)
  const { components } = await (await fetch(`${local.url}/openapi.json`)).json()
  const types = components.schemas.ProblemType.enum.filter(type => type !== 'about:blank')
  assert.ok(types.includes('/problems/not-found'))
  for (const type of types) {
    await page.goto(local.url + type)
    await page.locator('article code', { hasText: type }).first().waitFor()
  }
  await page.getByRole('link', { name: 'API' }).click()
  await page.getByRole('button', { name: 'Test Request' }).first().waitFor()
  const unknown = await fetch(`${local.url}/problems/on-fire`)
  assert.equal(unknown.status, 404)
  assert.equal((await unknown.json()).type, '/problems/not-found')
  assert.deepEqual(complaints, [])
  await close()
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
    const problem = "type Problem = components['schemas']['Problem']\n"
    const known = compile(`${problem}export const fields = (problem: Problem) => problem.type === '/problems/invalid-body' && problem.errors?.map(({ pointer }) => pointer)`)
    assert.equal(known.status, 0, known.output)
    const unknown = compile(`${problem}export const never = (problem: Problem) => problem.type === '/problems/on-fire'`)
    assert.notEqual(unknown.status, 0, 'a type outside of the closed set compiles')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
