// A proxy that cuts connections: each event stream some bytes after its head, wherever that is, until enough were cut.

import { createServer, connect } from 'node:net'

export class Cutter {
  /** In front of a server on a port of 127.0.0.1. */
  static async start(port, least) {
    const cutter = new Cutter()
    cutter.cuts = 0
    cutter.sockets = new Set()
    cutter.server = createServer(client => cutter.carry(client, connect(port, '127.0.0.1'), least))
    await new Promise(resolve => cutter.server.listen(0, '127.0.0.1', resolve))
    cutter.url = `http://127.0.0.1:${cutter.server.address().port}`
    return cutter
  }

  carry(client, server, least) {
    let left = Infinity
    client.pipe(server)
    server.on('data', data => {
      const head = data.indexOf('content-type: text/event-stream')
      if (head >= 0 && this.cuts < least) left = data.indexOf('\r\n\r\n', head) + 9 + 37 * (this.cuts % 11)
      const isLast = data.length >= left
      client.write(isLast ? data.subarray(0, left) : data, () => isLast && client.destroy())
      left = isLast ? Infinity : left - data.length
      if (isLast) {
        this.cuts += 1
        server.destroy()
      }
    })
    for (const [from, to] of [[client, server], [server, client]]) {
      this.sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.sockets.delete(from)
        to.end()
      })
    }
  }

  stop() {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
  }
}
