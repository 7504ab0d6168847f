// Runs the tests that mediasoup's npm package ships against a worker binary: node run.js [BINARY]
//
// The default is target/debug/tureen-worker. No script of an npm package runs, so nothing is built and no worker is
// downloaded. Tests listed in expected-failures.txt may fail; one that passes although it is listed fails the run, so
// that the list only ever gets shorter. The last line counts.

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const REPOSITORY = path.join(__dirname, '..', '..');
const SUITE = path.join(__dirname, 'suite');

main();

function main() {
  const binary = path.resolve(process.argv[2] ?? path.join(REPOSITORY, 'target', 'debug', 'tureen-worker'));
  prepareSuite();
  const results = runJest(binary);
  const expected = expectedFailures();
  const tests = results.testResults.flatMap((file) =>
    file.assertionResults.map((test) => ({ ...test, name: `${path.basename(file.name)}: ${test.fullName}` })),
  );
  const problems = [];
  for (const test of tests) {
    const listed = expected.delete(test.name);
    if (test.status === 'failed' && !listed) problems.push(`${test.name}\n${test.failureMessages.join('\n')}`);
    if (test.status === 'passed' && listed) problems.push(`${test.name}\n    passes: take it off expected-failures.txt`);
  }
  for (const file of results.testResults.filter((file) => file.assertionResults.length === 0)) {
    problems.push(`${path.basename(file.name)} does not load\n${file.message}`);
  }
  for (const name of expected) problems.push(`${name}\n    is in expected-failures.txt, but there is no such test`);
  for (const problem of problems) console.log(`\n${problem}`);
  const passed = tests.filter((test) => test.status === 'passed').length;
  const failed = tests.filter((test) => test.status === 'failed').length;
  console.log(`\nmediasoup ${version()}: ${passed} of ${tests.length} tests pass, ${failed} fail`);
  console.log(`# pass ${passed}`);
  console.log(`# fail ${problems.length}`);
  process.exit(problems.length === 0 ? 0 : 1);
}

// Jest does not look into node_modules, and the tests need a certificate that the package lacks.
function prepareSuite() {
  const marker = path.join(SUITE, `${version()}.ready`);
  if (fs.existsSync(marker)) return;
  fs.rmSync(SUITE, { recursive: true, force: true });
  fs.cpSync(path.join(__dirname, 'node_modules', 'mediasoup'), SUITE, { recursive: true });
  for (const folder of [path.join(SUITE, 'test', 'data'), path.join(SUITE, 'node', 'lib', 'test', 'data')]) {
    fs.mkdirSync(folder, { recursive: true });
    const [key, certificate] = ['dtls-key.pem', 'dtls-cert.pem'].map((name) => path.join(folder, name));
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/CN=conformance'];
    execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  }
  fs.writeFileSync(marker, '');
}

function runJest(binary) {
  const output = path.join(SUITE, 'results.json');
  const config = path.join(SUITE, 'jest.config.json');
  fs.writeFileSync(
    config,
    JSON.stringify({ rootDir: SUITE, testEnvironment: 'node', testRegex: 'node/lib/test/test-.*\\.js$', transform: {} }),
  );
  fs.rmSync(output, { force: true });
  const jest = path.join(__dirname, 'node_modules', 'jest', 'bin', 'jest.js');
  const options = ['-c', config, '--runInBand', '--forceExit', '--silent', '--json', `--outputFile=${output}`];
  const run = spawnSync(node22(), [jest, ...options], {
    cwd: SUITE,
    encoding: 'utf8',
    env: { ...process.env, MEDIASOUP_WORKER_BIN: binary },
    maxBuffer: 1 << 28,
  });
  if (!fs.existsSync(output)) throw new Error(`the tests did not run: ${run.error ?? run.stderr}`);
  return JSON.parse(fs.readFileSync(output, 'utf8'));
}

// mediasoup needs Node.js 22: that of this process, or the one from npm.
function node22() {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  return path.join(__dirname, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
}

function expectedFailures() {
  const text = fs.readFileSync(path.join(__dirname, 'expected-failures.txt'), 'utf8');
  return new Set(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')));
}

function version() {
  return require(path.join(__dirname, 'node_modules', 'mediasoup', 'package.json')).version;
}
