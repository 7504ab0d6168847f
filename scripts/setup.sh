# Functions of ./run and ./test that find or install the tools they need. To be sourced.

say() {
  printf '\n==> %s\n' "$*"
}

die() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# need COMMAND HINT: exits with the hint if the command is not installed.
need() {
  command -v "$1" >/dev/null || die "$1 is not installed: $2"
}

# Adds rustup's folder to PATH, because rustup adds it only for login shells of the user who installed it.
find_rust() {
  local home
  for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
    command -v cargo >/dev/null || [ ! -x "$home/.cargo/bin/cargo" ] || export PATH="$home/.cargo/bin:$PATH"
  done
  need cargo 'install Rust 1.89 or newer with rustup'
}

# Prints cargo's target folder, which CARGO_TARGET_DIR or the user's configuration may change.
target_directory() {
  cargo metadata --format-version 1 --no-deps --locked | node -p 'JSON.parse(fs.readFileSync(0)).target_directory'
}

find_node() {
  need node 'install Node.js 20.19 or newer'
  need npm 'install npm, which comes with Node.js'
}

# install_packages PACKAGE…: installs Debian packages by apt. The package list is updated once in a run.
install_packages() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  command -v apt-get >/dev/null || die "please install by hand: $*"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "please install as root: $*"
  say "Installing $*"
  if [ -z "${package_list_is_new:-}" ]; then
    "${as_root[@]}" apt-get update -qq </dev/null
    package_list_is_new=1
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

# A C compiler is needed because the cryptography library contains C and assembly.
install_compiler() {
  command -v cc >/dev/null || install_packages gcc libc6-dev
}

# install_npm_packages FOLDER: installs the packages of its lock file, if that has changed.
install_npm_packages() {
  if [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]; then
    say "Installing the npm packages of $1"
    (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts </dev/null) || return
    touch "$1/node_modules/.package-lock.json"
  fi
}

# install_python_packages FOLDER REQUIREMENTS: creates a virtual environment with these packages, if the list has changed.
install_python_packages() {
  cmp -s "$2" "$1/installed.txt" && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3 python3-venv || return
  say "Installing the Python packages of $2"
  python3 -m venv --clear "$1" &&
    "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" </dev/null &&
    cp "$2" "$1/installed.txt"
}

# Builds web/ into web/dist, if a file in web/ is newer than the last build.
build_web_app() {
  local changed
  install_npm_packages web || return
  changed=$(find web \( -name node_modules -o -name dist \) -prune -o \
    -type f -newer web/dist/index.html -print -quit 2>/dev/null || echo unbuilt)
  if [ -n "$changed" ] || [ ! -e web/dist/index.html ]; then
    say 'Building the web app'
    (cd web && npm run build </dev/null)
  fi
}
