#!/usr/bin/env python3
"""Prints which share of the lines the tests ran, for each folder: tools/coverage.py BUILD_DIRECTORY [FOLDER].

With FOLDER, for each file in it. What counts are the .gcda files that a build with --coverage leaves behind.
"""
import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Tests, what only tests use, and generated code are not measured.
NOT_MEASURED = [r".*_test\.cc", r".*test_support\.\w+", "tests/", "bench/", "build/", ".*/testing/"]


def measure(build):
    """Of each source: lines, and lines that ran."""
    command = ["gcovr", "--root", str(ROOT), "--json-summary", "-", "--exclude-unreachable-branches"]
    for pattern in NOT_MEASURED:
        command += ["--exclude", pattern]
    summary = json.loads(subprocess.run([*command, str(build)], check=True, capture_output=True, text=True).stdout)
    return {file["filename"]: (file["line_total"], file["line_covered"]) for file in summary["files"]}


def main(build, folder=None):
    groups = collections.defaultdict(lambda: [0, 0])
    for name, (lines, ran) in measure(build).items():
        parent = pathlib.PurePosixPath(name).parent.as_posix()
        if folder is None or parent == folder.rstrip("/"):
            group = groups[name if folder else parent]
            group[0] += lines
            group[1] += ran
    if not groups:
        sys.exit("coverage: nothing was measured: build with the preset coverage and run tests")
    total = [sum(column) for column in zip(*groups.values())]
    print("    lines  not run     %")
    for name, (lines, ran) in [*sorted(groups.items()), ("total", total)]:
        print(f"{lines:9} {lines - ran:8} {100 * ran / max(lines, 1):5.1f}  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
