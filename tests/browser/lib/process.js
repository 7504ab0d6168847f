/** Other programs of a test, and the ports they listen on. */

import { spawn } from 'node:child_process';
import dgram from 'node:dgram';

/** Starts a program that says little, and keeps what it says for errors. */
export function run(command, parameters) {
  const child = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {}); // It may have ended before.
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk));
  let end = null;
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve((end = error.message)));
    child.once('exit', (code, signal) => resolve((end = signal ?? `code ${code}`)));
  });
  return {
    /** What it has printed, a line of JSON each. */
    lines: () => stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line)),
    output: () => stdout,
    complaints: () => stderr,
    /** How it has ended; null while it runs. */
    end: () => end,
    /** Ends its input and waits for a good end. */
    async ends(limitMs) {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
      const end = await ended;
      clearTimeout(timer);
      if (end !== 'code 0') throw new Error(`${command} ended with ${end}\n${stderr}`);
      return { stdout };
    },
    /** Waits until somebody has the port. */
    async listens(port) {
      while (await isFree(port)) {
        if (end !== null) throw new Error(`${command} ended with ${end}\n${stderr}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      child.kill('SIGINT');
      await ended;
    },
  };
}

/** Whether nobody listens on a UDP port. */
export function isFree(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', () => resolve(false));
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
