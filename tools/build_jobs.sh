#!/usr/bin/env bash
# Prints how many compilers to run at once: one per core, but no more than memory allows. The largest
# files (Beast, gRPC) take about 1.5 GB each.
set -euo pipefail

cores=$(nproc)
available_mb=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
jobs=$((available_mb / 1500))
[ "$jobs" -le "$cores" ] || jobs=$cores
[ "$jobs" -ge 1 ] || jobs=1
echo "$jobs"
