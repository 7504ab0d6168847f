# What ./run and ./test share: installing what is missing. To be sourced.

say() {
  printf '\n==> %s\n' "$*"
}

die() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# need COMMAND WHAT: the command must be there.
need() {
  command -v "$1" >/dev/null || die "$1 is not installed: $2"
}

# Rust's installer puts cargo where only its user's login shell looks.
find_rust() {
  local home
  for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
    command -v cargo >/dev/null || [ ! -x "$home/.cargo/bin/cargo" ] || export PATH="$home/.cargo/bin:$PATH"
  done
  need cargo 'install Rust 1.89 or newer with rustup'
}

# Where cargo builds: what CARGO_TARGET_DIR or the user's configuration says, else target/.
target_directory() {
  cargo metadata --format-version 1 --no-deps --locked | node -p 'JSON.parse(fs.readFileSync(0)).target_directory'
}

find_node() {
  need node 'install Node.js 20.19 or newer'
  need npm 'install npm, which comes with Node.js'
}

# install_packages PACKAGE…: Debian packages, from apt; the list of them is fetched once in a run.
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

# A C compiler: the cryptography library has C and assembly in it.
install_compiler() {
  command -v cc >/dev/null || install_packages gcc libc6-dev
}

# install_npm_packages FOLDER: as its lock file says, when that has changed.
install_npm_packages() {
  if [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]; then
    say "Installing the npm packages of $1"
    (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts </dev/null) || return
    touch "$1/node_modules/.package-lock.json"
  fi
}

# install_python_packages FOLDER REQUIREMENTS: a virtual environment with these packages, when the list has changed.
install_python_packages() {
  cmp -s "$2" "$1/installed.txt" && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3 python3-venv || return
  say "Installing the Python packages of $2"
  python3 -m venv --clear "$1" &&
    "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" </dev/null &&
    cp "$2" "$1/installed.txt"
}

# Builds web/ into web/dist, when something in it is newer than that.
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
