/** Examples of `crates/tureen/examples`, and pages for them. */

import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import target from '../../target.cjs';
import { run } from './process.js';
import { until } from './until.js';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const BINARIES = process.env.TUREEN_EXAMPLES ?? path.join(target.targetDirectory(), 'debug/examples');
const SCRIPTS = path.join(REPOSITORY, 'tests/browser/lib');

/** Starts an example on a free port: `{ url, output, stop }`. The test appends a name to the path of `url`. */
export async function startExample(name) {
  const example = run(path.join(BINARIES, name), ['127.0.0.1:0']);
  const url = await until(
    `${name} listens`,
    () => {
      if (example.end()) throw new Error(`${name} ended with ${example.end()}\n${example.complaints()}`);
      return example.output().match(/ws:\/\/[^/]+\//)?.[0];
    },
    { explain: () => example.complaints() },
  );
  return {
    url,
    output: example.output,
    async stop() {
      await example.stop();
      if (example.complaints().includes('panicked at')) throw new Error(`${name}:\n${example.complaints()}`);
    },
  };
}

/** Bundles a script of this folder with mediasoup-client. The web app provides the package and the bundler. */
export async function bundleClient(script = 'example-client.js') {
  const { build } = await import('../../../web/node_modules/vite/dist/node/index.js');
  const [{ output }] = await build({
    configFile: false,
    root: path.join(REPOSITORY, 'web'),
    logLevel: 'error',
    resolve: { alias: { 'mediasoup-client': path.join(REPOSITORY, 'web/node_modules/mediasoup-client') } },
    build: { write: false, lib: { entry: path.join(SCRIPTS, script), formats: ['iife'], name: 'client' } },
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  return output[0].code;
}

/** Serves a page with that script on this machine, because the examples accept no other origin. `{ url, stop }` */
export async function servePage(script) {
  const server = http.createServer(({ url }, answer) => {
    if (url === '/client.js') answer.setHeader('Content-Type', 'text/javascript').end(script);
    else answer.setHeader('Content-Type', 'text/html').end('<!doctype html><body><script src="client.js"></script>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A page with a client of an example. */
export class ExamplePage {
  #page;

  static async open(browser, url) {
    const page = new ExamplePage();
    page.#page = await browser.newPage();
    await page.#page.goto(url);
    return page;
  }

  decodeSurround() {
    return this.#page.evaluate(() => decodeSurround());
  }

  connect(url) {
    return this.#page.evaluate(async (url) => {
      window.client = await Client.connect(url);
    }, url);
  }

  /** Calls a method of the client. */
  call(method, ...parameters) {
    return this.#page.evaluate(([method, parameters]) => client[method](...parameters), [method, parameters]);
  }

  /** Waits for the next message of that action and removes it. */
  event(action) {
    return until(`the server says ${action}`, () =>
      this.#page.evaluate((action) => {
        const at = client.events.findIndex((event) => event.action === action);
        return at >= 0 && client.events.splice(at, 1)[0];
      }, action),
    );
  }

  /** Waits until the received media of a consumer passes `isWanted`. */
  receives(what, id, isWanted) {
    let last;
    const ask = async () => isWanted((last = await this.call('received', id))) && last;
    return until(`the page receives ${what}`, ask, { explain: () => JSON.stringify(last) });
  }

  close() {
    return this.#page.close();
  }
}
