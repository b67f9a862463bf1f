// Runs test_httpx_sse.py against a stream of ours.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { Local, needs } from './local.mjs'

test('httpx-sse reads the stream to its clean end', needs('/sse/heartbeat'), async () => {
  const local = await Local.start({ SSE_HEARTBEAT_INTERVAL: '200ms', SSE_MAX_AGE: '2s' })
  try {
    const script = new URL('test_httpx_sse.py', import.meta.url).pathname
    const python = spawnSync(process.env.PYTHON ?? 'python3', [script, local.url], { encoding: 'utf8' })
    assert.equal(python.status, 0, python.stderr)
    assert.match(python.stderr, /Ran 2 tests/)
  } finally {
    await local.dispose()
  }
})
