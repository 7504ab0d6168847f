/**
 * A bad line between browsers and a server: a UDP relay that loses, delays and throttles packets.
 *
 * It listens on another address with the server's port number, like a NAT in front of the server, and the server
 * announces that address (`--announce`). Neither side needs any other change. To try the web app over such a line by
 * hand: `node lib/relay.js`.
 */

import dgram from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { NonceWatch } from './nonces.js';

/** On Linux all of 127.0.0.0/8 is local. */
const RELAY_IP = '127.0.0.2';
const SERVER_IP = '127.0.0.1';

/** Bytes of a packet on the line in addition to its payload: headers of IPv4 and UDP. */
const HEADER_BYTES = 28;

/** Longest queueing delay of a throttled line; further packets are dropped. */
const QUEUE_MS = 300;

/** Number of attempts to find a port that is free on both addresses. */
const ATTEMPTS = 10;

/**
 * One direction of a client's line. Each client has a separate line, so that a full one does not affect others.
 *
 * @typedef {object} Conditions
 * @property {number} [loss] Probability of the loss of a packet, 0 to 1.
 * @property {number} [delayMs] Delay in addition to that of the queue.
 * @property {number} [kbps] Capacity. Packets wait in a queue of 300 ms and are dropped beyond it.
 */

/**
 * Starts a relay for a server that listens on `serverIp` and `port` with UDP, and announces `ip`.
 *
 * Assign `up` (to the server) or `down` (to the clients) to change the line while it is in use.
 *
 * @param {{ up?: Conditions, down?: Conditions, port?: number }} options `port` 0, the default, uses a free one.
 */
export async function startRelay({ up = {}, down = {}, port = 0 } = {}) {
  const front = await bindFront(port);
  const clients = new Map();
  const relay = {
    ip: RELAY_IP,
    serverIp: SERVER_IP,
    port: front.address().port,
    up,
    down,
    /** Packets on each client's line before any loss: `[{ up, down }]`. */
    watches: () => [...clients.values()].map(({ watch }) => watch),
    stop() {
      for (const client of [{ socket: front }, ...clients.values()]) client.socket.close();
      for (const { lines } of clients.values()) for (const line of lines) line.stop();
    },
  };

  function client(name, { address, port }) {
    const socket = dgram.createSocket('udp4');
    const upLine = new Line(() => relay.up, (packet) => socket.send(packet, relay.port, SERVER_IP));
    const downLine = new Line(() => relay.down, (packet) => front.send(packet, port, address));
    // The server's port may be closed already, or not open yet. Then packets are lost.
    socket.on('error', () => {});
    const watch = { up: new NonceWatch(), down: new NonceWatch() };
    socket.on('message', (packet) => {
      watch.down.note(packet);
      downLine.pass(packet);
    });
    const made = { socket, up: upLine, watch, lines: [upLine, downLine] };
    clients.set(name, made);
    return made;
  }

  front.on('message', (packet, from) => {
    const name = `${from.address}:${from.port}`;
    const { up, watch } = clients.get(name) ?? client(name, from);
    watch.up.note(packet);
    up.pass(packet);
  });
  return relay;
}

/** One direction of one client's line. Packets leave in the order of their arrival. */
class Line {
  #conditions;
  #send;
  /** Packets in flight: `{ packet, at }`. */
  #queue = [];
  /** Time at which the last packet of the queue has passed the bottleneck. */
  #freeAt = 0;
  #timer = null;

  constructor(conditions, send) {
    this.#conditions = conditions;
    this.#send = send;
  }

  pass(packet) {
    const { loss = 0, delayMs = 0, kbps = Infinity } = this.#conditions();
    const now = performance.now();
    const start = Math.max(now, this.#freeAt);
    if (start - now > QUEUE_MS || Math.random() < loss) return;
    this.#freeAt = start + ((packet.length + HEADER_BYTES) * 8) / kbps;
    // After a change to a shorter delay packets do not overtake those in flight.
    const at = Math.max(this.#freeAt + delayMs, this.#queue.at(-1)?.at ?? 0);
    this.#queue.push({ packet, at });
    this.#timer ??= this.#wake();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#queue = [];
  }

  #wake() {
    return setTimeout(() => {
      const now = performance.now();
      while (this.#queue[0]?.at <= now) this.#send(this.#queue.shift().packet);
      this.#timer = this.#queue.length > 0 ? this.#wake() : null;
    }, this.#queue[0].at - performance.now());
  }
}

async function bindFront(port) {
  for (let attempt = 1; ; attempt += 1) {
    const front = await bind(RELAY_IP, port);
    if (port !== 0) return front;
    try {
      const probe = await bind(SERVER_IP, front.address().port);
      probe.close();
      return front;
    } catch (error) {
      front.close();
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

async function bind(address, port) {
  const socket = dgram.createSocket('udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [loss = '5', delayMs = '50', kbps = 'Infinity', port = '44444'] = process.argv.slice(2);
  const line = { loss: Number(loss) / 100, delayMs: Number(delayMs), kbps: Number(kbps) };
  const { ip, serverIp } = await startRelay({ up: line, down: line, port: Number(port) });
  console.log(`${loss} % loss, ${delayMs} ms and ${kbps} kbit/s each way, in front of a server started with
  tureen serve --workers 1 --rtc-port ${port} --rtc-listen ${serverIp} --announce ${ip}`);
}
