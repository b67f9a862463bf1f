// The page of durable streams in headless Chromium: whatever breaks, its reader has every event once.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, test as anyTest } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { launch, open as openPage } from './browser.mjs'
import { Cutter } from './cutter.mjs'
import { Local, needs } from './local.mjs'

/** A test of a bundle with durable streams. */
const test = (name, run) => anyTest(name, needs('/v1/stream/{path}'), run)
const screenshots = process.env.SCREENSHOTS
const ANSWER = readFileSync(new URL('../../src/pages/streams/model.txt', import.meta.url), 'utf8').trimEnd()
/** What Chromium says of a connection that breaks, and of an answer that is an error. */
const BROKEN = /net::ERR_|^Failed to load resource/
let local, browser, authorization, streams = 0

before(async () => {
  local = await Local.start()
  browser = await launch()
  authorization = `Bearer ${local.print('token', '--scope', 'streams:read streams:write')}`
})
after(async () => {
  await browser?.close()
  await local?.dispose()
})

/** The page at a stream, once it is live. */
async function open({ path, origin = local.url, isLive = true, ...options } = {}) {
  const opened = await openPage(browser, `${origin}/streams${path ? `?path=${encodeURIComponent(path)}` : ''}`, options)
  if (isLive) await state(opened.page, 'live')
  return opened
}

const state = (page, word) => page.locator('#state', { hasText: new RegExp(`^${word}$`) }).waitFor({ timeout: 15_000 })
const button = (page, name) => page.getByRole('button', { name, exact: true })
const press = (page, name) => button(page, name).click()
const pathOf = page => new URL(page.url()).searchParams.get('path')
const said = page => page.locator('#log > :not(.model, .cut, .note) > :first-child').allTextContents()
const answer = page => page.locator('#log .model p').last()

/** Another client, without a browser. */
const client = (method, path, options = {}) =>
  fetch(`${local.url}/v1/stream/${path}`, { method, ...options, headers: { authorization, 'content-type': 'application/json', ...options.headers } })
async function stored(path) {
  return (await client('GET', path)).json()
}
async function newStream(headers) {
  const path = `tests/${(streams += 1)}`
  assert.equal((await client('PUT', path, { headers })).status, 201)
  return path
}
const append = (path, message) => client('POST', path, { body: JSON.stringify(message) })

/** Waits until a function of the page or of the test is true. */
async function until(isTrue, what) {
  for (let tries = 0; !(await isTrue()); tries += 1) {
    assert.ok(tries < 1200, what)
    await sleep(50)
  }
}
const words = page => answer(page).textContent().then(text => text.split(' ').length)
const isWritten = page => until(async () => (await answer(page).textContent()) === ANSWER && !(await page.locator('[aria-busy]').count()), 'the answer is not there')

/** The answer as another client reads it, and each part of it once. */
async function assertExact(path) {
  const parts = (await stored(path)).filter(({ from }) => from === 'model')
  assert.deepEqual(parts.map(({ n }) => n), parts.map((_, index) => index))
  assert.equal(parts.map(({ word }) => word).join(''), ANSWER)
}

test('a visitor who knows nothing has a stream, says something, and asks the model', async () => {
  const { page, complaints, close } = await open()
  await page.getByLabel('Say something, or write JSON').fill('good morning, <b>world</b>')
  await page.keyboard.press('Enter')
  await page.locator('#log .mine p', { hasText: 'good morning, <b>world</b>' }).waitFor()
  await page.keyboard.type('[{"number": 1}, {"number": 2}]')
  await page.keyboard.press('Enter')
  await page.locator('#log pre', { hasText: '{"number":2}' }).waitFor()
  await press(page, 'Ask the fake model')
  await isWritten(page)
  const messages = await stored(pathOf(page))
  assert.equal(messages[0].text, 'good morning, <b>world</b>')
  assert.deepEqual(messages.slice(1, 3), [{ number: 1 }, { number: 2 }])
  await assertExact(pathOf(page))
  const head = await client('HEAD', pathOf(page))
  assert.equal(head.headers.get('stream-ttl'), '86400')
  assert.equal(await page.locator('#offset').textContent(), head.headers.get('stream-next-offset'))
  assert.deepEqual(complaints, [])
  await close()
})

test('a reload in the middle of an answer loses no word', async () => {
  const { page, complaints, close } = await open()
  const path = pathOf(page)
  await press(page, 'Ask the fake model')
  for (const least of [12, 40, 70]) {
    await until(async () => (await words(page)) >= least, 'the model does not write')
    await Promise.all([page.waitForEvent('load'), press(page, 'Reload')])
    await state(page, 'live')
    assert.ok((await words(page)) >= least, 'the reload has lost words')
    assert.notEqual(await answer(page).textContent(), ANSWER, 'the answer was written before the reload')
  }
  assert.equal(pathOf(page), path)
  await isWritten(page)
  await assertExact(path)
  assert.deepEqual(complaints, [])
  await close()
})

test('a cut in the middle of an answer is marked, and loses no word', async () => {
  const { page, complaints, close } = await open()
  await press(page, 'Ask the fake model')
  await until(async () => (await words(page)) >= 10, 'the model does not write')
  await press(page, 'Cut')
  const before = await page.locator('#offset').textContent()
  await page.locator('#state', { hasText: /^cut/ }).waitFor()
  await sleep(1000)
  assert.equal(await page.locator('#offset').textContent(), before, 'events come through a cut')
  await press(page, 'Resume')
  const mark = page.locator('#log .cut')
  await mark.filter({ hasText: 'nothing lost, nothing twice' }).waitFor()
  assert.equal(await mark.getAttribute('data-offset'), before)
  const came = Number((await mark.textContent()).match(/(\d+) messages came meanwhile/)[1])
  assert.ok(came >= 5, `${came} came in a second`)
  assert.equal((await answer(page).locator('mark').textContent()).trim().split(' ').length, came)
  await isWritten(page)
  await assertExact(pathOf(page))
  assert.deepEqual(complaints, [])
  await close()
})

test('a second tab shows the same, and what one says comes to the other', async () => {
  const { page, complaints, close } = await open()
  await press(page, 'Ask the fake model')
  await until(async () => (await words(page)) >= 5, 'the model does not write')
  const [second] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Second tab' }).click()])
  second.on('pageerror', error => complaints.push(error.message))
  await state(second, 'live')
  assert.equal(pathOf(second), pathOf(page))
  for (const [from, to] of [[page, second], [second, page]]) {
    const text = `from ${from === page ? 'one' : 'the other'}`
    await from.getByLabel('Say something').fill(text)
    await from.getByRole('button', { name: 'Append' }).click()
    await to.locator('#log > :not(.mine) p', { hasText: text }).waitFor()
  }
  await isWritten(page)
  await isWritten(second)
  assert.deepEqual(await said(second), await said(page))
  assert.equal(await second.locator('#offset').textContent(), await page.locator('#offset').textContent())
  assert.deepEqual(complaints, [])
  await close()
})

const HOSTILE = ['</script><img src=x onerror="window.run=1">', 'a\u2028b\u2029c', 'data: x\n\nevent: control', '', '🧀', 'x'.repeat(100_000)]

test('what another client writes is shown as text, whatever it is', async () => {
  const path = await newStream()
  const { page, complaints, close } = await open({ path })
  const values = [null, 0, [1, [2]], { from: 'model' }, { from: {}, text: [] }, { from: 'model', answer: 1, word: 7 }]
  for (const value of [...values.slice(0, 2), [values[2]], ...values.slice(3)]) assert.equal((await append(path, value)).status, 204)
  for (const text of HOSTILE) assert.equal((await append(path, { from: 'curl', text })).status, 204)
  await until(async () => (await page.locator('#messages').textContent()) === String(values.length + HOSTILE.length), 'not all came')
  assert.deepEqual((await said(page)).slice(-HOSTILE.length), HOSTILE)
  assert.equal(await page.evaluate(() => window.run), undefined)
  assert.deepEqual(complaints, [])
  await close()
})

test('a stream of text and one of bytes are shown, too', async () => {
  const text = await newStream({ 'content-type': 'text/plain' })
  const { page, complaints, close } = await open({ path: text })
  await page.getByLabel('Say something').fill('line one')
  await press(page, 'Append')
  await page.locator('#log pre', { hasText: /^line one$/ }).waitFor()
  assert.equal(await (await client('GET', text)).text(), 'line one')
  const bytes = await newStream({ 'content-type': 'application/octet-stream' })
  await page.getByLabel('Path of the stream').fill(bytes)
  await press(page, 'Open')
  await state(page, 'live')
  await client('POST', bytes, { body: new Uint8Array([0, 255, 10]), headers: { 'content-type': 'application/octet-stream' } })
  await page.locator('#log pre', { hasText: '3 bytes of application/octet-stream' }).waitFor()
  await page.goBack()
  await page.locator('#log pre', { hasText: /^line one$/ }).waitFor()
  assert.deepEqual(complaints, [])
  await close()
})

test('thirty cuts, wherever they fall, lose no event and repeat none', async () => {
  const path = await newStream()
  const cutter = await Cutter.start(local.port, 30)
  const { page, complaints, close } = await open({ path, origin: cutter.url, isLive: false })
  try {
    let sent = 0
    for (; cutter.cuts < 30 || sent < 200; sent += 1) {
      assert.equal((await append(path, { from: 'curl', text: `event ${sent} ${'·'.repeat(sent % 50)}` })).status, 204)
      await sleep(20)
      assert.ok(sent < 5000, `only ${cutter.cuts} cuts`)
      if (await button(page, 'Resume').count()) await page.evaluate(() => dispatchEvent(new Event('online')))
    }
    await until(async () => (await page.locator('#messages').textContent()).replace(',', '') === String(sent), 'not all came')
    const shown = await said(page)
    const expected = (await stored(path)).map(({ text }) => text)
    assert.equal(expected.length, sent)
    assert.deepEqual(shown, expected.slice(-shown.length))
    assert.ok(shown.length > 100)
    assert.ok(Number(await page.locator('#connections').textContent()) > 30)
    assert.equal(await page.locator('.cut', { hasText: 'is not what' }).count(), 0)
    assert.deepEqual(complaints.filter(complaint => !BROKEN.test(complaint)), [])
  } finally {
    await close()
    cutter.stop()
  }
})

/** The page with another text in its script, and without the policy that would refuse it. */
const changed = (from, to) => page => page.route(/\/streams(\?|$)/, async route => {
  if (route.request().resourceType() !== 'document') return route.fallback()
  const body = await (await route.fetch()).text()
  assert.ok(body.includes(from), `the page has no ${from}`)
  await route.fulfill({ contentType: 'text/html', body: body.replace(from, to) })
})

test('the control: a reader that comes back at the end, or an event earlier, is found out', async () => {
  for (const [from, to] of [
    ['?offset=${stream.offset}&live', '?offset=${stream.connections ? "now" : "-1"}&live'],
    ['?offset=${stream.offset}&live', '?offset=-1&live'],
  ]) {
    const { page, close } = await open({ prepare: changed(from, to) })
    await press(page, 'Ask the fake model')
    await until(async () => (await words(page)) >= 10, 'the model does not write')
    await press(page, 'Cut')
    await page.locator('#log .cut', { hasText: 'what came is not what is stored' }).waitFor()
    await close()
  }
})

test('a process that is killed comes back, and the page goes on without a reload', async () => {
  const path = await newStream()
  const { page, complaints, close } = await open({ path })
  assert.equal((await append(path, { from: 'curl', text: 'before' })).status, 204)
  await page.locator('#log p', { hasText: 'before' }).waitFor()
  await local.stop('SIGKILL')
  await state(page, 'reconnecting')
  await page.getByLabel('Say something').fill('nobody hears')
  await press(page, 'Append')
  await page.getByRole('alert').filter({ hasText: 'Nothing answers' }).waitFor()
  await local.run()
  assert.equal((await append(path, { from: 'curl', text: 'after' })).status, 204)
  await page.locator('.cut', { hasText: 'nothing lost, nothing twice' }).waitFor()
  assert.deepEqual(await said(page), ['before', 'after'])
  assert.equal(await page.getByRole('alert').count(), 0, 'the problem is over')
  assert.deepEqual(complaints.filter(complaint => !BROKEN.test(complaint)), [])
  await close()
})

test('a stream is closed, deleted and created again, in both tabs', async () => {
  const { page, complaints, close } = await open()
  const path = pathOf(page)
  const other = await open({ path })
  await append(path, { from: 'curl', text: 'the last' })
  await press(page, 'Close')
  await state(page, 'live')
  await press(page, 'Close it?')
  for (const tab of [page, other.page]) {
    await state(tab, 'closed')
    assert.deepEqual(await said(tab), ['the last'])
    await tab.locator('.note', { hasText: 'This is all of it' }).waitFor()
    assert.ok(await button(tab, 'Append').isDisabled())
  }
  await page.reload()
  await state(page, 'closed')
  await press(page, 'Delete')
  await press(page, 'Delete it?')
  await state(page, 'no such stream')
  await press(page, 'Create it')
  await state(page, 'live')
  assert.deepEqual(await said(page), [])
  await other.close()
  assert.deepEqual(complaints.filter(complaint => !BROKEN.test(complaint)), [])
  await close()
})

test('a stream that another client deletes under the reader is gone, and a new one in its place is not mixed with it', async () => {
  const path = await newStream()
  const { page, close } = await open({ path })
  await append(path, { from: 'curl', text: 'old' })
  await page.locator('#log p', { hasText: 'old' }).waitFor()
  assert.equal((await client('DELETE', path)).status, 204)
  await state(page, 'no such stream')
  await close()

  assert.equal((await client('PUT', path)).status, 201)
  await append(path, { from: 'curl', text: 'second' })
  const again = await open({ path })
  await again.page.locator('#log p', { hasText: 'second' }).waitFor()
  await press(again.page, 'Cut')
  assert.equal((await client('DELETE', path)).status, 204)
  assert.equal((await client('PUT', path)).status, 201)
  await append(path, { from: 'curl', text: 'third' })
  await press(again.page, 'Resume')
  await again.page.locator('.note', { hasText: 'created again' }).waitFor()
  await again.page.locator('#log p', { hasText: 'third' }).waitFor()
  assert.deepEqual(await said(again.page), ['third'])
  await again.close()
})

test('what is refused is said in words, with a page about it', async () => {
  const path = await newStream({ 'content-type': 'text/plain' })
  const { page, complaints, close } = await open({ path })
  const alert = page.getByRole('alert')
  await press(page, 'Ask the fake model')
  await alert.filter({ hasText: 'Content-Type Differs' }).waitFor()
  await page.getByLabel('Say something').fill('fine')
  await press(page, 'Append')
  await alert.waitFor({ state: 'hidden' })
  await page.getByLabel('Path of the stream').fill('a//b')
  await press(page, 'Open')
  await alert.filter({ hasText: 'Invalid Parameter' }).waitFor()
  await page.getByLabel('Path of the stream').fill(`tests/../${path}`)
  await press(page, 'Open')
  await alert.filter({ hasText: 'no segment' }).waitFor()
  assert.ok(await button(page, 'Delete').isDisabled())
  await page.goBack()
  await alert.filter({ hasText: 'Invalid Parameter' }).waitFor()
  await alert.getByRole('link').click()
  await page.getByRole('heading', { name: 'Invalid Parameter' }).first().waitFor()
  await page.goBack()
  await page.getByLabel('Path of the stream').fill('tests/nobody has this')
  await press(page, 'Open')
  await state(page, 'no such stream')
  assert.deepEqual(complaints.filter(complaint => !BROKEN.test(complaint)), [])
  await close()
})

test('the line for a terminal does what the page has done', async () => {
  const path = await newStream()
  const { page, close } = await open({ path })
  const run = async () => {
    const line = (await page.locator('#curl').textContent()).replace(/\$\(cargo run[^)]*\)/, authorization.slice('Bearer '.length))
    return spawnSync('sh', ['-c', line.replace('curl', 'curl --silent --show-error --max-time 2')], { encoding: 'utf8' })
  }
  await page.getByLabel('Say something').fill(`it's "$HOME" \\ \`x\``)
  await press(page, 'Append')
  await until(async () => (await said(page)).length === 1, 'it was not said')
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await press(page, 'Copy')
  await button(page, 'Copied').waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.locator('#curl').textContent())
  const posted = await run()
  assert.equal(posted.stderr, '')
  await until(async () => (await said(page)).length === 2, 'the line appends nothing')
  const [first, second] = await stored(path)
  assert.deepEqual(first, second)
  await press(page, 'Cut')
  assert.match((await run()).stdout, /event: control/)
  await press(page, 'Close')
  await press(page, 'Close it?')
  await state(page, 'closed')
  assert.equal((await run()).stderr, '')
  await close()
})

test('a token that is refused or about to end is renewed, and a stream that ends with it goes on', async () => {
  const path = await newStream()
  let asked = 0
  const prepare = page => page.route('**/streams/token', async route => {
    asked += 1
    const response = await route.fetch()
    const json = await response.json()
    assert.equal(json.expires_in, 600)
    if (asked === 1) json.token = json.token.slice(0, -8) + 'AAAAAAAA'
    if (asked === 2) json.expires_in = 0
    await route.fulfill({ response, json })
  })
  const { page, complaints, close } = await open({ path, prepare })
  await append(path, { from: 'curl', text: 'one' })
  await page.locator('#log p', { hasText: 'one' }).waitFor()
  assert.equal(asked, 3)
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie + document.documentElement.outerHTML)
  assert.ok(!kept.includes('eyJ'), 'the page keeps a token')
  assert.deepEqual(complaints.filter(complaint => !/401/.test(complaint)), [])
  await close()
})

test('a connection that the server ends is taken up again at once', async () => {
  const short = await Local.start({ SSE_MAX_AGE: '2s' })
  try {
    const { page, complaints, close } = await open({ origin: short.url })
    await press(page, 'Ask the fake model')
    await isWritten(page)
    assert.ok(Number(await page.locator('#connections').textContent()) >= 4)
    const marks = await page.locator('.cut').allTextContents()
    assert.ok(marks.length >= 3 && marks.every(mark => !mark.includes('is not what')), marks.join('\n'))
    assert.deepEqual(complaints, [])
    await close()
  } finally {
    await short.dispose()
  }
})

/** The status of a request for a token with these headers. */
const tokenFor = headers => new Promise((resolve, reject) => {
  const asked = request(`${local.url}/streams/token`, { method: 'POST', headers }, answer => {
    answer.resume()
    resolve(answer.statusCode)
  })
  asked.on('error', reject).end()
})

test('only the page itself gets a token, and no page of another name or port', async () => {
  const { host, port } = new URL(local.url)
  assert.equal(await tokenFor({ origin: local.url }), 200)
  for (const headers of [{}, { origin: 'null' }, { origin: `http://127.0.0.1:${Number(port) + 1}` }, { origin: 'https://app.example.com' },
    { host: `rebound.example.com:${port}`, origin: `http://rebound.example.com:${port}` }]) {
    assert.equal(await tokenFor(headers), 403, JSON.stringify(headers))
  }
  assert.equal((await fetch(`${local.url}/streams/token`)).status, 405)
  const page = await fetch(`${local.url}/streams`)
  assert.ok(!(await page.text()).includes('eyJ'), 'the page brings a token')
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'.*script-src 'sha256-[^ ]+'$/, host)
  const model = await fetch(`${local.url}/streams/model/tests/x`, { method: 'POST' })
  assert.equal(model.status, 401)
  assert.equal((await model.json()).type, '/problems/token-missing')
})

test('the policy of the page lets no other script run', async () => {
  const { page, complaints, close } = await open()
  const run = await page.evaluate(async () => {
    document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.run = 1' }))
    document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.run = 2">')
    await fetch('http://outside.invalid/').catch(() => {})
    await new Promise(resolve => setTimeout(resolve, 200))
    return window.run
  })
  assert.equal(run, undefined)
  const blocked = complaints.filter(complaint => complaint.includes('Content Security Policy'))
  assert.ok(blocked.length >= 3, complaints.join('\n'))
  await close()
})

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

test('it fits a phone and a desk, in the light and in the dark, and axe finds nothing', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, viewport] of [['desk', { width: 1100, height: 820 }], ['phone', { width: 360, height: 740 }]]) {
      const { page, close } = await open({ colorScheme, viewport })
      await page.getByLabel('Say something').fill('What is a durable stream?')
      await page.keyboard.press('Enter')
      await press(page, 'Ask the fake model')
      await until(async () => (await page.locator('.model').count()) && (await words(page)) > 24, 'the model does not write')
      await press(page, 'Cut')
      await page.locator('.cut', { hasText: 'nothing lost' }).waitFor()
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html)}`), [], `${name}, ${colorScheme}`)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(overflow <= 0, `${name} scrolls sideways by ${overflow} px`)
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true })
        await page.screenshot({ path: join(screenshots, `streams-${name}-${colorScheme}.png`) })
      }
      await close()
    }
  }
})

test('the keyboard is enough', async () => {
  const { page, complaints, close } = await open()
  const focus = async name => {
    for (let tries = 0; (await page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id)) !== name; tries += 1) {
      assert.ok(tries < 40, `Tab does not reach ${name}`)
      await page.keyboard.press('Tab')
    }
  }
  await focus('text')
  await page.keyboard.type('by hand')
  await page.keyboard.press('Enter')
  await page.locator('.mine', { hasText: 'by hand' }).waitFor()
  await focus('Ask the fake model')
  await page.keyboard.press('Enter')
  await until(async () => (await page.locator('.model').count()) && (await words(page)) > 5, 'the model does not write')
  await focus('Cut')
  await page.keyboard.press('Space')
  await page.locator('#state', { hasText: /^cut/ }).waitFor()
  await page.keyboard.press('Space')
  await page.locator('.cut', { hasText: 'nothing lost' }).waitFor()
  await isWritten(page)
  assert.deepEqual(complaints, [])
  await close()
})

test('the status page leads to it', async () => {
  const { page, complaints, close } = await openPage(browser, local.url)
  await page.getByRole('link', { name: '/streams' }).click()
  await state(page, 'live')
  assert.deepEqual(complaints, [])
  await close()
})
