"""The relay as nostr-sdk (Rust) sees it: rust_nostr.py CASE URL [URL]. Exits with 0 if everything the
relays say is what is expected, to the last event. The relays are empty at the start of a case."""
import asyncio
import datetime
import json
import os
import re
import sys
import tempfile
import time

from nostr_sdk import (
    ClientBuilder, ClientMessage, EventBuilder, Filter, Keys, Kind, NostrLmdb, RelayUrl, ReqTarget,
    SignerAuthenticator, SyncDirection, SyncOptions, Tag, Timestamp, uniffi_set_event_loop)

PATIENCE = datetime.timedelta(seconds=50)  # less than that of interop_test.cc
START = int(time.time()) - 10_000
ALICE, BOB = Keys.generate(), Keys.generate()


def sign(keys, kind, age, content="", tags=()):
    """`age` counts up: a larger one is newer."""
    builder = EventBuilder(Kind(kind), content).tags([Tag.parse(list(tag)) for tag in tags])
    return builder.custom_created_at(Timestamp.from_secs(START + age)).finalize(keys)


def filter_of(**conditions):
    """A filter from its JSON; a tag such as t is written t_."""
    names = {name: f"#{name[0]}" if name.endswith("_") else name for name in conditions}
    return Filter.from_json(json.dumps({names[name]: value for name, value in conditions.items()}))


def ids_of(events):
    return sorted(event.id().to_hex() for event in events)


def public(keys):
    return keys.public_key().to_hex()


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual} is not {expected}")


async def open_client(*urls, builder=None):
    client = (builder or ClientBuilder()).build()
    for url in urls:
        await client.add_relay(RelayUrl.parse(url))
    output = await client.try_connect(PATIENCE)
    expect(len(output.success), len(urls))
    return client


async def publish(client, *events):
    for event in events:
        output = await client.send_event(event, ok_timeout=PATIENCE)
        expect(output.failed, {})


async def refusal(client, event):
    output = await client.send_event(event, ok_timeout=PATIENCE)
    expect(output.success, [])
    (reason,) = output.failed.values()
    return reason


async def expect_stored(client, wanted, expected, url=None):
    """`wanted` is one filter or several; the client checks ids and signatures."""
    filters = wanted if isinstance(wanted, list) else [wanted]
    target = ReqTarget.single(RelayUrl.parse(url), filters) if url else ReqTarget.auto(filters)
    events = await client.fetch_events(target, PATIENCE)
    expect(sorted(event.as_json() for event in events), sorted(event.as_json() for event in expected))


async def counted(client, url, wanted):
    """Listens before it asks: Relay.count_events() does so after, and misses an answer that is quick."""
    notifications = client.notifications()
    relay = await client.relay(RelayUrl.parse(url))
    await relay.send_msg(ClientMessage.count("count", wanted))
    while True:
        notification = await notifications.next()
        if notification.is_message():
            message = json.loads(notification.message.as_json())
            if message[0] == "COUNT":
                return message[2]["count"]


async def events_and_filters(url):
    client = await open_client(url)
    a = sign(ALICE, 1, 4, 'a "\\ \n é 日本 😀', [("t", "red"), ("t", "blue")])
    b = sign(BOB, 1, 3, "b", [("t", "blue")])
    c = sign(ALICE, 7, 2, "c", [("e", "f" * 64)])
    d = sign(BOB, 1, 1, "d")
    await publish(client, c, a, d, b)
    await expect_stored(client, Filter(), [a, b, c, d])
    await expect_stored(client, filter_of(ids=ids_of([a, d])), [a, d])
    await expect_stored(client, filter_of(authors=[public(ALICE)]), [a, c])
    await expect_stored(client, filter_of(kinds=[7, 9]), [c])
    await expect_stored(client, filter_of(t_=["blue"]), [a, b])
    await expect_stored(client, filter_of(e_=["f" * 64], kinds=[7]), [c])
    await expect_stored(client, filter_of(since=START + 2, until=START + 3), [b, c])
    await expect_stored(client, filter_of(limit=2), [a, b])
    await expect_stored(client, filter_of(kinds=[7], authors=[public(BOB)]), [])
    await expect_stored(client, [filter_of(kinds=[7]), filter_of(t_=["red"]), filter_of(ids=ids_of([a]))], [a, c])


async def live(url):
    reader, writer = await open_client(url), await open_client(url)
    notifications = reader.notifications()
    await reader.subscribe(ReqTarget.auto([filter_of(kinds=[1])]), "live")
    events = [sign(ALICE, 1, age, str(age)) for age in range(5)]
    await publish(writer, *events, sign(ALICE, 7, 9))
    heard = []
    while len(heard) < len(events):
        notification = await notifications.next()
        if notification.is_new_event():
            heard.append(notification.event)
    expect(ids_of(heard), ids_of(events))


async def count(url):
    client = await open_client(url)
    await publish(client, *[sign(ALICE, 1, age) for age in range(3)], sign(BOB, 7, 4))
    for wanted, expected in [
            (filter_of(kinds=[1]), 3), (filter_of(authors=[public(BOB)]), 1), (filter_of(kinds=[9]), 0)]:
        expect(await counted(client, url, wanted), expected)


async def replacement_and_deletion(url):
    client = await open_client(url)
    old, current = sign(ALICE, 0, 1, "{}"), sign(ALICE, 0, 2, '{"name":"new"}')
    one, two = sign(ALICE, 30000, 3, "1", [("d", "x")]), sign(ALICE, 30000, 4, "2", [("d", "x")])
    note, foreign = sign(ALICE, 1, 5), sign(BOB, 1, 6)
    await publish(client, old, current, one, two, note, foreign)
    await expect_stored(client, Filter(), [current, two, note, foreign])
    deletion = sign(ALICE, 5, 7, "", [
        ("e", note.id().to_hex()), ("e", foreign.id().to_hex()), ("a", f"30000:{public(ALICE)}:x")])
    await publish(client, deletion)
    await expect_stored(client, Filter(), [current, deletion, foreign])
    if not re.search("blocked: ", await refusal(client, note)):
        raise AssertionError("what was deleted is refused as blocked")


async def refusals(url):
    client = await open_client(url)
    expired = sign(ALICE, 1, 1, "", [("expiration", "1")])
    too_new = sign(ALICE, 1, 100_000)
    too_large = sign(ALICE, 1, 2, "x" * (300 << 10))
    for event in [expired, too_new, too_large]:
        reason = await refusal(client, event)
        if "invalid: " not in reason:
            raise AssertionError(reason)
    await expect_stored(client, Filter(), [])


async def authentication(url):
    event = sign(ALICE, 1, 1, "protected", [("-",)])
    async def publish_as(keys, relay_says):
        builder = ClientBuilder().authenticator(SignerAuthenticator(keys)) if keys else ClientBuilder()
        reason = await refusal(await open_client(url, builder=builder), event)
        if relay_says not in reason:
            raise AssertionError(reason)
    await publish_as(None, "auth-required: ")
    await publish_as(BOB, "restricted: ")
    # The library authenticates by itself and sends the event again.
    alice = await open_client(url, builder=ClientBuilder().authenticator(SignerAuthenticator(ALICE)))
    await publish(alice, event)
    await expect_stored(alice, Filter(), [event])


async def sync_two_relays(first, second):
    """What `first` and `second` lack of one another goes through the client's own database, by NIP-77 alone."""
    events = [sign(ALICE if age % 3 else BOB, 1, age, str(age)) for age in range(120)]
    other = sign(ALICE, 7, 1, "not asked for")
    await publish(await open_client(first), *events[:80], other)
    await publish(await open_client(second), *events[40:])
    with tempfile.TemporaryDirectory() as folder:
        database = await NostrLmdb.open(folder)
        client = await open_client(first, second, builder=ClientBuilder().database(database))
        wanted = filter_of(kinds=[1])
        for direction in (SyncDirection.DOWN, SyncDirection.UP):
            output = await client.sync(wanted, opts=SyncOptions().direction(direction))
            expect((output.failed, [*filter(None, output.report.send_failures.values())]), ({}, []))
        expect(ids_of(await database.query(wanted)), ids_of(events))
        await client.shutdown()
    for url, expected in ((first, [*events, other]), (second, events)):
        await expect_stored(await open_client(url), filter_of(limit=500), expected)


CASES = [
    events_and_filters, live, count, replacement_and_deletion, refusals, authentication, sync_two_relays]


async def main(name, *urls):
    uniffi_set_event_loop(asyncio.get_running_loop())
    (case,) = [case for case in CASES if case.__name__ == name]
    await asyncio.wait_for(case(*urls), PATIENCE.total_seconds())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    # Without taking the interpreter down: the library's threads may still be about to call it.
    sys.stdout.flush()
    os._exit(0)
