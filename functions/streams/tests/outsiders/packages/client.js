// Reads a stream to its end by the client of the protocol's authors, and prints each message. After a cut inside an answer, the
// client leaves it to its caller to come back.
import { stream } from '@durable-streams/client'

const { URL: url, LIVE: live } = process.env
let offset = '-1'
let isOver = false
while (!isOver) {
  try {
    const read = await stream({ url, offset, live })
    read.subscribeJson(batch => {
      if (batch.offset === offset) return // cut before its offset came: it will come again
      batch.items.forEach(message => console.log(message))
      offset = batch.offset
      isOver = batch.streamClosed
    })
    await read.closed
  } catch (error) {
    if (error.status) throw error
  }
}
