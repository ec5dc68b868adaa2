#!/usr/bin/env bash
# Runs fuzz targets, each for that long: tools/fuzz.sh SECONDS [TARGET...]. Without names, all of
# tests/fuzz. Inputs that reach new code gather in build/fuzz/found/TARGET and are used again; an input
# that breaks something is kept as build/fuzz/broken/TARGET-*, named, and makes this fail.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
if [ $# -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cc; do set -- "$@" "$(basename "$source" _fuzz.cc)"; done
fi
mkdir -p build/fuzz/broken build/fuzz/log
failed=()
for target in "$@"; do
  found=build/fuzz/found/$target log=build/fuzz/log/$target
  mkdir -p "$found"
  if build/fuzz/bin/fuzz_"$target" -max_total_time="$time" -timeout=20 -rss_limit_mb=4096 \
    -artifact_prefix=build/fuzz/broken/"$target"- "$found" tests/fuzz/corpus/"$target" >"$log" 2>&1; then
    echo "$target: $(grep -a '^Done' "$log"), $(grep -a -o 'cov: [0-9]*' "$log" | tail -1)"
  else
    failed+=("$target")
    grep -a -v -E '^#[0-9]+' "$log" | tail -40
    echo "$target: broken, see $log"
  fi
done
[ ${#failed[@]} -eq 0 ] || {
  echo "fuzz: broken: ${failed[*]}; the inputs are in build/fuzz/broken" >&2
  exit 1
}
