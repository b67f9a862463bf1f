// The reference server of the Durable Streams protocol, with its streams in files.
import { DurableStreamTestServer } from '@durable-streams/server'

const { PORT, DATA_DIR } = process.env
await new DurableStreamTestServer({ port: Number(PORT), host: '127.0.0.1', dataDir: DATA_DIR }).start()
console.log('listening')
