#!/bin/sh
# Makes grpcurl available, and prints its path: the one on PATH, or build/tools/bin/grpcurl, built
# from source if it is not there yet. Needs root only if Go is missing (Debian's golang-go is enough).
set -eu

version=v1.9.1 # the newest that Debian 12's Go 1.19 can build
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/build/tools/bin

fail() {
  echo "install_grpcurl: $*" >&2
  exit 1
}

# True if "$1" is a Go of at least 1.19.
is_go() {
  [ -n "$1" ] && command -v "$1" >/dev/null 2>&1 || return 1
  release=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  minor=$(echo "$release" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ -n "$minor" ] && [ "$minor" -ge 19 ]
}

# Sets `go` to the first Go that will do.
find_go() {
  for go in "${GO:-}" go /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
    is_go "$go" && return 0
  done
  return 1
}

if command -v grpcurl; then
  exit 0
fi
if [ ! -x "$bin/grpcurl" ]; then
  find_go || { "$root/tools/install_deps.sh" go >&2 && find_go; } || fail "no Go of at least 1.19 to be had"
  echo "install_grpcurl: building grpcurl $version with $("$go" version)" >&2
  mkdir -p "$bin"
  log=$(mktemp)
  if ! GOBIN=$bin GOFLAGS=-mod=mod CGO_ENABLED=0 GO111MODULE=on GOTOOLCHAIN=local \
    "$go" install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    fail "go install failed; it needs the Go module proxy (GOPROXY=$("$go" env GOPROXY))"
  fi
  rm -f "$log"
fi
echo "$bin/grpcurl"
