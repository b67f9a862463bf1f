// Starts the real binary in a folder of its own, and takes it all away again.

import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const { paths } = JSON.parse(readFileSync(new URL('../../openapi.json', import.meta.url)))

/** Is the route in this bundle? A team may have removed its function. */
export const has = path => path in paths

/** The options of a test that needs a route. */
export const needs = path => ({ skip: has(path) ? false : `no function of this bundle answers ${path}` })

const binary = name => new URL(`../../../../target/debug/${name}`, import.meta.url).pathname

/** A port that nobody listens on, below those that the kernel chooses from: nobody else gets it meanwhile. */
async function freePort() {
  for (;;) {
    const [server, port] = [createServer(), randomInt(10_000, 32_000)]
    const isFree = await new Promise(resolve => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

/** `local` with nothing configured but its port and a quick pulse. */
export class Local {
  static async start(settings = {}) {
    const local = new Local()
    local.folder = mkdtempSync(join(tmpdir(), 'local-clients-'))
    chmodSync(local.folder, 0o755) // root runs Postgres as another user
    local.port = await freePort()
    local.url = `http://127.0.0.1:${local.port}`
    local.settings = { SSE_HEARTBEAT_INTERVAL: '1s', HEALTH_TIMEOUT: '1s', ...settings }
    await local.run()
    return local
  }

  /** Starts the process, on the same port and the same data as before. */
  async run() {
    this.process = spawn(binary('local'), { env: this.env(), stdio: ['ignore', 'pipe', 'inherit'] })
    this.ended = new Promise(resolve => this.process.once('exit', resolve))
    let output = ''
    await new Promise((resolve, reject) => {
      this.process.stdout.on('data', data => {
        output += data
        if (output.includes('Ctrl-C stops it all.')) resolve()
      })
      this.ended.then(() => reject(new Error(`local ended: ${output}`)))
    })
  }

  env() {
    const { PATH, HOME } = process.env
    return { PATH, HOME, PORT: this.port, CARGO_MANIFEST_DIR: join(this.folder, 'functions/local'), ...this.settings }
  }

  /** What a command of the same checkout prints. */
  print(...command) {
    return spawnSync(binary('local'), command, { env: this.env(), encoding: 'utf8' }).stdout.trim()
  }

  /** A function by itself, with the settings by which it takes tokens of this checkout: its URL, and what ends it. */
  async alone(name) {
    const port = await freePort()
    const [key, ...value] = this.print('token', '--settings').split('=')
    const alone = spawn(binary(name), { env: { PORT: port, [key]: value.join('=') }, stdio: 'ignore' })
    const url = `http://127.0.0.1:${port}`
    for (let tries = 0; !(await fetch(`${url}/health`).catch(() => false)); tries += 1) {
      if (tries > 200) throw new Error(`${name} does not start`)
      await sleep(50)
    }
    return { url, end: () => alone.kill() }
  }

  /** Ends the process; its data stays. */
  async stop(signal = 'SIGTERM') {
    this.process.kill(signal)
    await this.ended
    for (let tries = 0; this.postgres() && tries < 200; tries += 1) await sleep(20)
  }

  /** The process id of the private Postgres, while it runs. */
  postgres() {
    const folder = join(this.folder, '.local/postgres')
    const data = readdirSync(folder).find(name => /^data-\d+$/.test(name))
    try {
      return Number(readFileSync(join(folder, data, 'postmaster.pid'), 'utf8').split('\n')[0])
    } catch {
      return undefined
    }
  }

  /** Sends a signal to the private Postgres and to the processes of its sessions. */
  signalPostgres(signal) {
    const server = this.postgres()
    const parent = pid => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')[1]
      } catch {
        return undefined // it has ended meanwhile
      }
    }
    const children = readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && parent(pid) === String(server))
    for (const pid of [server, ...children.map(Number)]) process.kill(pid, signal)
  }

  async dispose() {
    await this.stop()
    rmSync(this.folder, { recursive: true })
  }
}
