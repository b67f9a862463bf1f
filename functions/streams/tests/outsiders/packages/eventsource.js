// Reads a stream to its end as a browser does, by the package `eventsource`, and prints each message. It knows nothing of offsets.
import { EventSource } from 'eventsource'

const events = new EventSource(`${process.env.URL}?offset=-1&live=sse`)
events.addEventListener('data', event => JSON.parse(event.data).forEach(message => console.log(message)))
events.addEventListener('error', event => event.code === 204 && events.close())
