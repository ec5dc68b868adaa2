#!/usr/bin/env bash
# Installs the Debian 12 packages that graspd needs and that are missing; does nothing when none is.
#
#   tools/install_deps.sh [GROUP...]         build (the default), test, bench, lint, tsan, fuzz,
#                                            coverage, go, interop
#   tools/install_deps.sh --list GROUP...    print the packages instead
#
# The one list of packages, for people and CI.
set -euo pipefail

declare -A packages=(
  [build]="
    ca-certificates git make python3 pkg-config g++ cmake ninja-build ccache mold
    libabsl-dev libboost1.81-dev libboost-json1.81-dev libfmt-dev libgrpc++-dev
    liblmdb-dev libprotobuf-dev libsecp256k1-dev libsimdjson-dev libspdlog-dev libssl-dev
    libtomlplusplus-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc zlib1g-dev"
  [test]="libgtest-dev libgmock-dev strace iproute2 nftables util-linux"
  [bench]="libbenchmark-dev"
  [lint]="clang-format"
  [tsan]="clang libclang-rt-14-dev"
  [fuzz]="clang libclang-rt-14-dev libgtest-dev libgmock-dev"
  [coverage]="gcovr"
  [go]="golang-go"
  [interop]="python3-venv"
)

fail() {
  echo "install_deps: $*" >&2
  exit 1
}

# Prints the packages of the named groups.
packages_of() {
  local group
  for group in "$@"; do
    [ -n "${packages[$group]:-}" ] || fail "unknown group '$group': there are ${!packages[*]}"
    # shellcheck disable=SC2086  # one word is one package
    printf '%s\n' ${packages[$group]}
  done
}

# Prints those of the named packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
  done
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=DEBIAN_FRONTEND,http_proxy,https_proxy "$@"
  else
    fail "these packages are missing: ${missing[*]}
Installing them needs root. As root, run: apt-get install --no-install-recommends ${missing[*]}"
  fi
}

list_only=no
if [ "${1:-}" = --list ]; then
  list_only=yes
  shift
fi
[ $# -gt 0 ] || set -- build
names=$(packages_of "$@")
if [ "$list_only" = yes ]; then
  echo "$names"
  exit 0
fi

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this script knows Debian 12 and its apt only. Install what these packages hold by other means:
$names"
mapfile -t wanted <<<"$names"
mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -q || echo "install_deps: apt-get update failed; trying with the lists at hand" >&2
as_root apt-get install -q -y --no-install-recommends "${missing[@]}" ||
  fail "apt-get could not install all of: ${missing[*]}
graspd builds on Debian 12 (bookworm); elsewhere some of these names differ."
