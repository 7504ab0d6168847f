/** Programs on aiortc, a WebRTC implementation in Python. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './process.js';

const FOLDER = fileURLToPath(new URL('../aiortc/', import.meta.url));

/** Python of a virtual environment with the packages of aiortc/requirements.txt. */
const PYTHON = process.env.AIORTC_PYTHON ?? path.join(FOLDER, '../../../target/aiortc/bin/python');

/** Runs a program of aiortc/. */
export function runAiortc(program, ...parameters) {
  return run(PYTHON, [path.join(FOLDER, program), ...parameters]);
}
