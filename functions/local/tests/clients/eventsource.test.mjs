// The stream in the `eventsource` package, which Node programs read streams with.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { EventSource } from 'eventsource'
import { Local, needs } from './local.mjs'

let local

before(async () => {
  local = await Local.start({ SSE_HEARTBEAT_INTERVAL: '200ms', SSE_MAX_AGE: '2s' })
})
after(() => local?.dispose())

test('it reads beats, comes back by the retry it was given, and says where it was', needs('/sse/heartbeat'), async () => {
  const asked = []
  const events = new EventSource(`${local.url}/sse/heartbeat`, {
    fetch: (url, init) => {
      asked.push({ at: Date.now(), lastEventId: init.headers['Last-Event-ID'] })
      return fetch(url, init)
    },
  })
  const beats = []
  let ended
  events.addEventListener('error', () => (ended ??= Date.now()))
  await new Promise(resolve => {
    events.addEventListener('heartbeat', event => {
      beats.push(event)
      if (asked.length === 2 && event.lastEventId > asked[1].lastEventId) resolve()
    })
  })
  events.close()
  assert.ok(beats.length >= 5, `${beats.length} beats`)
  assert.ok(beats.every(beat => beat.data === 'ping' && beat.lastEventId))
  assert.equal(asked[0].lastEventId, undefined)
  assert.ok(beats.some(beat => beat.lastEventId === asked[1].lastEventId), 'the id of the last beat is sent back')
  const pause = asked[1].at - ended
  assert.ok(pause >= 1900 && pause < 3000, `came back after ${pause} ms, not after the retry of 2000 ms`)
})
