/** Other programs that a test starts, and their ports. */

import { spawn } from 'node:child_process';
import dgram from 'node:dgram';

/** Starts a program and stores its output, which is part of errors. */
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
    /** Printed lines, each parsed as JSON. */
    lines: () => stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line)),
    output: () => stdout,
    complaints: () => stderr,
    /** Exit of the program; null while it runs. */
    end: () => end,
    /** Closes its input and waits for a successful exit. */
    async ends(limitMs) {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
      const end = await ended;
      clearTimeout(timer);
      if (end !== 'code 0') throw new Error(`${command} ended with ${end}\n${stderr}`);
      return { stdout };
    },
    /** Waits until the port is in use. */
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

/** True if a UDP port is free. */
export function isFree(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', () => resolve(false));
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
