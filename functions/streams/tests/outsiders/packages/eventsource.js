// Reads a stream to its end as a browser does, by the package `eventsource`, and prints each message. It knows nothing of offsets.
import { EventSource } from 'eventsource'

const events = new EventSource(`${process.env.URL}?offset=-1&live=sse`)
const alive = setInterval(() => {}, 1000) // the package lets Node end while it waits
events.addEventListener('data', event => JSON.parse(event.data).forEach(message => console.log(message)))
events.addEventListener('error', event => {
  if (event.code) clearInterval(alive) // an answer that is no event stream: it does not come back
})
