// Reads a stream to its end by the client of the protocol's authors, and prints each message.
import { stream } from '@durable-streams/client'

const { URL: url, LIVE: live } = process.env
const read = await stream({ url, offset: '-1', live })
for await (const message of read.jsonStream()) console.log(message)
