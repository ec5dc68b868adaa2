#!/usr/bin/env python3
"""Runs every mode of graspd-bench with the parameters of docs/benchmarks.md and prints a table.

    bench/run.py                               a new graspd, its store below build/bench
    bench/run.py --url ws://... --pid PID      the relay that runs there, whose store is empty

With a new graspd, --part sync alone takes the runs of catching up and discovery, each on an empty store.

The relay's limits must allow for it: 5,000 connections of one address, no rates, and about a million events. What
was measured, with the command of each figure, goes to standard output as Markdown; the whole JSON of each run to
results.jsonl in the directory.
"""
import argparse
import json
import os
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
READY_PREFIX = "graspd ready relay="


def steps(size):
    """Name, arguments and figures of each run. The order matters: the store grows."""
    some, many = size, 10 * size
    req_keys = [f"{name}.{key}" for name in ("kinds500", "authors20")
                for key in ("relay_cpu_s_per_1000_queries", "queries_per_s", "query_p50_ms", "query_p99_ms")]
    neg_keys = ["wall_s", "relay_cpu_s", "client_cpu_s", "rounds", "bytes_up", "bytes_down", "relay_rss_peak_kib"]
    fan_keys = ["relay_us_per_delivery", "relay_cpu_to_send_baseline", "relay_cpu_to_paced_send_baseline",
                "deliveries_per_s", "delivery_p50_ms",
                "delivery_p99_ms", "ok_p50_ms"]
    idle_keys = ["relay_anonymous_bytes_per_connection", "relay_anonymous_bytes_per_subscription", "connections_per_s",
                 "relay_us_per_connect"]
    ingest_keys = ["relay_us_per_event", "relay_cpu_to_verification", "events_per_s", "ok_p50_ms", "ok_p99_ms",
                   "relay_rss_peak_kib"]
    yield "idle", ["idle", "--subscribe"], idle_keys
    yield "ingest", ["ingest", "--count", some, "--verify-baseline"], ingest_keys
    yield "req", ["req", "--count", some, "--no-load"], req_keys
    yield "ingest, 1 connection", ["ingest", "--connections", 1, "--first", some, "--count", some // 5], ingest_keys
    yield "negentropy 0.1 %", ["negentropy", "--count", many, "--difference", 0.1], neg_keys
    for percent in (1, 10):
        yield (f"negentropy {percent} %",
               ["negentropy", "--count", many, "--no-load", "--difference", percent], neg_keys)
    for i, burst in enumerate((10, 20)):
        yield (f"fanout, bursts of {burst}",
               ["fanout", "--first", many + i * some, "--burst", burst, "--send-baseline"], fan_keys)
    yield ("fanout, one by one",
           ["fanout", "--first", many + 2 * some, "--burst", 1, "--count", 1000, "--send-baseline"], fan_keys)
    yield ("fanout, 20 a second",
           ["fanout", "--first", many + 3 * some, "--count", 400, "--paced", "20/s", "--send-baseline"], fan_keys)


def sync_steps(size):
    """The same of the runs in which the tool plays the remotes."""
    catchup_keys = ["catchup_to_verification", "share_of_machine", "events_per_s", "relay_cpu_s", "client_cpu_s",
                    "verify_us", "events_sent", "bytes_up", "bytes_up_filters", "bytes_down", "relay_rss_peak_kib"]
    equal_keys = ["bytes", "bytes_up_filters", "neg_sessions", "relay_cpu_s", "relay_rss_peak_kib", "first_bytes",
                  "first_relay_cpu_s", "first_compared_s"]
    round_keys = [f"{name}_{key}" for name in ("announcement_ok", "dial_beyond_ok", "stored_beyond_ok",
                                               "issue_to_client") for key in ("p50_ms", "p99_ms")]
    idle_keys = ["relay_anonymous_mb", "relay_anonymous_bytes_per_remote", "relay_cpu_percent_while_idle"]
    yield "catchup", ["catchup", "--count", size, "--verify-baseline"], catchup_keys
    yield "catchup, 50 ms away", ["catchup", "--count", size, "--verify-baseline", "--delay", 25], catchup_keys
    yield "catchup, all there", ["catchup", "--count", size, "--issues", 100, "--equal"], equal_keys
    yield "discovery", ["discovery", "--rounds", 200], round_keys
    yield "idle remotes", ["discovery", "--idle", 500, "--hold", 20], idle_keys


OPEN = ["--policy-mode", "open"]
SYNCING = ["--policy-mode", "archive", "--sync-allow-cidrs", "127.0.0.0/8", "--sync-startup-delay", "0s",
           "--sync-max-remotes", "10000", "--sync-new-remotes-per-minute", "100000",
           "--limits-author-rate-factor", "0", "--limits-address-rate-factor", "0"]


def start_graspd(binary, directory, settings):
    """A graspd on an empty store, and its URL."""
    store = directory / "store"
    shutil.rmtree(store, ignore_errors=True)
    command = [binary, "serve", "--store", f"lmdb:{store}", *settings, "--relay-listen", "127.0.0.1:0",
               "--admin-listen", "", "--ops-listen", "", "--limits-events-per-second", "0",
               "--limits-reqs-per-second", "0", "--limits-connections-per-address", "10000"]
    print("\n    " + shlex.join(map(str, command)))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GRASPD_")}
    with open(directory / "graspd.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    line = process.stdout.readline()
    if not line.startswith(READY_PREFIX):
        sys.exit(f"graspd did not start: see {directory / 'graspd.log'}")
    return process, "ws://" + line[len(READY_PREFIX):].split()[0]


def measure(bench, directory, url, pid, runs):
    events = directory / "events.jsonl"
    with open(directory / "results.jsonl", "a", encoding="utf-8") as results:
        for name, arguments, keys in runs:
            command = [bench, arguments[0], "--url", url, "--pid", str(pid), *map(str, arguments[1:])]
            if "--first" not in command and arguments[0] not in ("idle", "catchup", "discovery"):
                command += ["--events", str(events)]
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            results.write(run.stdout)
            if run.returncode != 0:
                sys.exit(f"{name} failed: {shlex.join(map(str, command))}\n{run.stderr}")
            figures = json.loads(run.stdout)["results"]
            print(f"\n{name}\n\n    {shlex.join(map(str, command))}\n\n| figure | value |\n|---|---|", flush=True)
            for key in keys:
                if key in figures:
                    print(f"| `{key}` | {figures[key]} |", flush=True)


def measure_new(options, settings, runs):
    process, url = start_graspd(options.graspd, options.dir, settings)
    try:
        measure(options.bench, options.dir, url, process.pid, runs)
    finally:
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graspd", default=ROOT / "build/release/bin/graspd")
    parser.add_argument("--bench", default=ROOT / "build/release/bin/graspd-bench")
    parser.add_argument("--dir", default=ROOT / "build/bench", type=pathlib.Path, help="on the disk to measure")
    parser.add_argument("--events", default=100_000, type=int, help="of ingest; negentropy has ten times as many")
    parser.add_argument("--part", choices=("relay", "sync"), help="instead of both")
    parser.add_argument("--url", help="a relay that runs already, with --pid")
    parser.add_argument("--pid", type=int)
    options = parser.parse_args()
    if bool(options.url) != bool(options.pid):
        parser.error("--url and --pid go together")
    options.dir.mkdir(parents=True, exist_ok=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    (options.dir / "results.jsonl").unlink(missing_ok=True)
    if options.url:
        measure(options.bench, options.dir, options.url, options.pid, steps(options.events))
        return
    if options.part != "sync":
        measure_new(options, OPEN, steps(options.events))
    if options.part != "relay":
        for run in sync_steps(options.events):
            measure_new(options, SYNCING, [run])


if __name__ == "__main__":
    main()
