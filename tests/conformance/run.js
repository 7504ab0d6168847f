// Runs the tests that mediasoup's npm packages ship against a worker binary: node run.js [BINARY [VERSION]]
//
// The default is debug/tureen-worker in the target folder, and every version in SUITES. No script of an npm package runs, so nothing
// is built and no worker is downloaded. Tests listed in expected-failures.txt may fail; one that passes although it is
// listed fails the run, so that the list only ever gets shorter. The last lines count.

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { targetDirectory } = require('../target.cjs');

const PACKAGES = path.join(__dirname, 'node_modules');

// One version for each dialect of the channel whose npm package contains tests. `links` are packages that its tests
// import under another name than that in package.json.
const SUITES = [
  { package: 'mediasoup', tests: 'node/lib/test' },
  { package: 'mediasoup-3.12', tests: 'node/lib/tests', links: { 'pick-port': 'pick-port-1' } },
  { package: 'mediasoup-3.6', tests: 'test' },
];

main();

function main() {
  const binary = path.resolve(process.argv[2] ?? path.join(targetDirectory(), 'debug', 'tureen-worker'));
  const expected = expectedFailures();
  const problems = [];
  const summaries = [];
  let passed = 0;
  for (const suite of SUITES.map(withVersion)) {
    if (process.argv[3] !== undefined && process.argv[3] !== suite.version) continue;
    prepare(suite);
    const results = runJest(suite, binary);
    const tests = results.testResults.flatMap((file) =>
      file.assertionResults.map((test) => ({
        ...test,
        name: `${suite.version} ${path.basename(file.name)}: ${test.fullName}`,
      })),
    );
    for (const test of tests) {
      const listed = expected.delete(test.name);
      if (test.status === 'failed' && !listed) problems.push(`${test.name}\n${test.failureMessages.join('\n')}`);
      if (test.status === 'passed' && listed) {
        problems.push(`${test.name}\n    passes: take it off expected-failures.txt`);
      }
    }
    for (const file of results.testResults.filter((file) => file.assertionResults.length === 0)) {
      problems.push(`${suite.version} ${path.basename(file.name)} does not load\n${file.message}`);
    }
    for (const name of expected) {
      if (name.startsWith(`${suite.version} `)) problems.push(`${name}\n    is listed, but there is no such test`);
    }
    const count = (status) => tests.filter((test) => test.status === status).length;
    passed += count('passed');
    summaries.push(
      `mediasoup ${suite.version}: ${count('passed')} of ${tests.length} tests pass, ${count('failed')} fail`,
    );
  }
  for (const problem of problems) console.log(`\n${problem}`);
  console.log(`\n${summaries.join('\n')}`);
  console.log(`# pass ${passed}`);
  console.log(`# fail ${problems.length}`);
  process.exit(problems.length === 0 ? 0 : 1);
}

function withVersion(suite) {
  const { version } = require(path.join(PACKAGES, suite.package, 'package.json'));
  return { ...suite, version, folder: path.join(__dirname, 'suite', version) };
}

// The tests are copied, because Jest ignores node_modules. They need a certificate that newer packages do not contain.
function prepare({ package: name, tests, links = {}, folder }) {
  const marker = path.join(folder, 'ready');
  if (fs.existsSync(marker)) return;
  fs.rmSync(folder, { recursive: true, force: true });
  const from = path.join(PACKAGES, name);
  // The sources of the C++ worker are the largest part, and not needed.
  const wanted = (file) => file !== path.join(from, 'worker');
  fs.cpSync(from, folder, { recursive: true, filter: wanted });
  fs.mkdirSync(path.join(folder, 'node_modules'), { recursive: true });
  for (const [name, target] of Object.entries(links)) {
    fs.symlinkSync(path.join(PACKAGES, target), path.join(folder, 'node_modules', name));
  }
  for (const data of [path.join(folder, 'test', 'data'), path.join(folder, tests, 'data')]) {
    fs.mkdirSync(data, { recursive: true });
    if (fs.existsSync(path.join(data, 'dtls-cert.pem'))) continue;
    const [key, certificate] = ['dtls-key.pem', 'dtls-cert.pem'].map((name) => path.join(data, name));
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/CN=conformance'];
    execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  }
  fs.writeFileSync(marker, '');
}

function runJest({ tests, folder }, binary) {
  const output = path.join(folder, 'results.json');
  const config = path.join(folder, 'jest.config.json');
  const testRegex = `/${tests}/test-.*\\.js$`;
  fs.writeFileSync(
    config,
    JSON.stringify({ rootDir: folder, testEnvironment: 'node', testRegex, transform: {} }),
  );
  fs.rmSync(output, { force: true });
  const jest = path.join(PACKAGES, 'jest', 'bin', 'jest.js');
  const options = ['-c', config, '--runInBand', '--forceExit', '--silent', '--json', `--outputFile=${output}`];
  const run = spawnSync(node22(), [jest, ...options], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, MEDIASOUP_WORKER_BIN: binary },
    maxBuffer: 1 << 28,
  });
  if (!fs.existsSync(output)) throw new Error(`the tests did not run: ${run.error ?? run.stderr}`);
  return JSON.parse(fs.readFileSync(output, 'utf8'));
}

// Node.js 22, which mediasoup needs: the one of this process, or the one from npm.
function node22() {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  return path.join(PACKAGES, `node-linux-${process.arch}`, 'bin', 'node');
}

function expectedFailures() {
  const text = fs.readFileSync(path.join(__dirname, 'expected-failures.txt'), 'utf8');
  return new Set(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')));
}
