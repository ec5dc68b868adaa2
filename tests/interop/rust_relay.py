"""The relay of nostr-sdk (Rust), which speaks NIP-77: rust_relay.py PORT FILE. Serves the events of FILE
(JSONL) and what it is sent, and keeps them beside FILE. Port 0 takes a free one; the line "ready URL" says
which. Ends with SIGTERM."""
import asyncio
import sys

from nostr_sdk import Event, LocalRelayBuilder, NostrLmdb, uniffi_set_event_loop


async def main(port, path):
    uniffi_set_event_loop(asyncio.get_running_loop())
    database = await NostrLmdb.open(path + ".lmdb")
    with open(path, encoding="utf-8") as file:
        await asyncio.gather(*[database.save_event(Event.from_json(line)) for line in file])
    builder = LocalRelayBuilder().database(database).addr("127.0.0.1")
    if port != "0":
        builder = builder.port(int(port))
    relay = builder.build()
    await relay.run()
    print("ready", await relay.url(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
