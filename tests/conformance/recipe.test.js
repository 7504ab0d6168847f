// The recipe of README.md for an existing application works as written, except for the build profile.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { targetDirectory } = require('../target.cjs');

const REPOSITORY = path.join(__dirname, '..', '..');

test('the recipe of README.md puts tureen-worker under an application', () => {
  const readme = fs.readFileSync(path.join(REPOSITORY, 'README.md'), 'utf8');
  const recipe = readme.match(/^MEDIASOUP_WORKER_BIN=\S+ node app\.js$/m)[0]
    .replace('$PWD/target/release', path.join(targetDirectory(), 'debug'));
  const output = execFileSync('sh', ['-c', recipe.replace('app.js', path.join(__dirname, 'app.js'))], {
    cwd: REPOSITORY,
    encoding: 'utf8',
    // mediasoup needs Node.js 22, which npm has installed in case this one is older.
    env: { ...process.env, PATH: `${node22()}${process.env.PATH}` },
  });
  assert.deepEqual(JSON.parse(output), {
    process: path.join(fs.realpathSync(targetDirectory()), 'debug', 'tureen-worker'),
    candidates: 1,
  });
});

function node22() {
  const folder = path.join(__dirname, 'node_modules', `node-linux-${process.arch}`, 'bin');
  return fs.existsSync(folder) ? folder + path.delimiter : '';
}
