/** The `tureen` binary under test, on free ports. */

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import target from '../../target.cjs';

const BINARY = process.env.TUREEN_BIN ?? path.join(target.targetDirectory(), 'debug/tureen');
/**
 * Configuration for tests of many channels, because the default limit of a peer is low and closed channels count too.
 */
export const MANY_CHANNELS = '[limits]\nmax_data_producers_per_peer = 2048\nmax_data_consumers_per_peer = 2048\nmax_requests_per_s = 2000\n';

const START_MS = 20_000;
const STOP_MS = 10_000;

/**
 * Starts a server and waits until it prints its address.
 *
 * @param {{ relay?: object, config?: string }} options `relay`: result of `startRelay`, through which all media passes.
 * `config`: a configuration file.
 * @returns {Promise<{ url: string, log: () => string, stop: () => Promise<void> }>} `stop` rejects if the server has
 * not exited successfully, for example after a panic.
 */
export async function startServer({ relay, config = '' } = {}) {
  const state = await mkdtemp(path.join(tmpdir(), 'tureen-test-'));
  // Media uses the default address of this machine in its network, because Firefox does not send from there to
  // 127.0.0.1.
  const media = relay
    ? ['--workers', '1', '--rtc-port', relay.port, '--rtc-listen', relay.serverIp, '--announce', relay.ip]
    : ['--rtc-port', '0'];
  const configFile = path.join(state, 'config.toml');
  await writeFile(configFile, config);
  const arguments_ = ['serve', '--config', configFile, '--listen', '127.0.0.1:0', ...media, '--state-dir', state];
  const server = spawn(BINARY, arguments_, {
    env: { ...process.env, NO_COLOR: '1', RUST_BACKTRACE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const ended = new Promise((resolve) => {
    server.once('error', (error) => resolve(`could not be started: ${error.message}`));
    server.once('exit', (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}`));
  });
  const listening = new Promise((resolve) => {
    const read = (chunk) => {
      log += chunk;
      const url = log.match(/https:\/\/localhost:\d+/)?.[0];
      if (url) resolve({ url });
    };
    server.stdout.setEncoding('utf8').on('data', read);
    server.stderr.setEncoding('utf8').on('data', read);
  });

  const outcome = await Promise.race([listening, ended.then((end) => ({ end })), after(START_MS)]);
  if (!outcome?.url) {
    server.kill('SIGKILL');
    await rm(state, { recursive: true, force: true });
    throw new Error(`${BINARY} ${outcome?.end ?? `named no URL within ${START_MS} ms`}\n${log}`);
  }
  return {
    url: outcome.url,
    log: () => log,
    async stop() {
      server.kill('SIGTERM');
      const end = await Promise.race([ended, after(STOP_MS)]);
      server.kill('SIGKILL');
      await rm(state, { recursive: true, force: true });
      if (end !== 'ended with code 0' || log.includes('panicked at')) {
        throw new Error(`the server ${end ?? `did not stop within ${STOP_MS} ms`}\n${log}`);
      }
    },
  };
}

function after(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
