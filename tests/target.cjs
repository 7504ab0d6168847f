// Where cargo has built what is tested: what CARGO_TARGET_DIR or the user's configuration says, else target/.

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const REPOSITORY = path.join(__dirname, '..');

let directory;

function targetDirectory() {
  directory ??= ask();
  return directory;
}

function ask() {
  const metadata = ['metadata', '--format-version', '1', '--no-deps', '--offline'];
  try {
    const text = execFileSync('cargo', metadata, { cwd: REPOSITORY, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return JSON.parse(text).target_directory;
  } catch {
    // No cargo: the binaries were brought here.
    return path.join(REPOSITORY, 'target');
  }
}

module.exports = { targetDirectory };
