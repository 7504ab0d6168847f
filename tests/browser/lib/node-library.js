/** mediasoup's Node library with `tureen-worker` as its worker, and pages that take part in its calls. */

import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import target from '../../target.cjs';

const BINARY = process.env.TUREEN_WORKER_BIN ?? path.join(target.targetDirectory(), 'debug/tureen-worker');
const SERVER = fileURLToPath(new URL('node-sfu.cjs', import.meta.url));

/** Node.js 22, which mediasoup needs: the one of this process, or the one that npm has installed with the library. */
function node22() {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  const folder = new URL(`../../conformance/node_modules/node-linux-${process.arch}/bin/node`, import.meta.url);
  const node = fileURLToPath(folder);
  return existsSync(node) ? node : process.execPath;
}

/** Starts the library. `request` sends a request to node-sfu.cjs. `stop` rejects if the process has ended before. */
export async function startNodeLibrary() {
  const server = fork(SERVER, {
    execPath: node22(),
    env: { ...process.env, MEDIASOUP_WORKER_BIN: BINARY, RUST_BACKTRACE: '1' },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let log = '';
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text) => (log += text));
  const waiting = new Map();
  let end = null;
  const ended = new Promise((resolve) => server.once('exit', (code, signal) => resolve((end = signal ?? `code ${code}`))));
  const failed = ended.then(() => {
    throw new Error(`the server on mediasoup's Node library ended with ${end}\n${log}`);
  });
  failed.catch(() => {}); // It ends by `stop`, too.
  const ready = new Promise((resolve) => {
    server.on('message', ({ ready, id, result, error }) => {
      if (ready) return resolve();
      const { done, fail } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) done(result);
      else fail(new Error(error));
    });
  });
  await Promise.race([ready, failed]);
  let lastId = 0;
  return {
    request(method, data = {}) {
      const id = (lastId += 1);
      const answer = new Promise((done, fail) => waiting.set(id, { done, fail }));
      server.send({ id, method, data });
      return Promise.race([answer, failed]);
    },
    async stop() {
      const wasRunning = end === null;
      server.disconnect();
      await ended;
      if (!wasRunning || log.includes('panicked at')) throw new Error(log);
    },
  };
}

/** Opens a page with the script `node-client.js`, whose transports are connected by this library. */
export async function openNodePage(browser, url, library) {
  const page = await browser.newPage();
  await page.exposeFunction('sfu', library.request);
  await page.goto(url);
  await page.evaluate(() => Party.join().then((party) => Object.assign(window, { party })));
  return {
    /** Calls a method of the page's `Party`. */
    call: (method, ...parameters) =>
      page.evaluate(([method, parameters]) => party[method](...parameters), [method, parameters]),
    close: () => page.close(),
  };
}
