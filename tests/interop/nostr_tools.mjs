// The relay as nostr-tools sees it: node nostr_tools.mjs CASE URL. Exits with 0 if everything the relay
// says is what is expected, to the last event. The relay is empty at the start of a case.
import assert from 'node:assert/strict';
import {nip77} from 'nostr-tools';
import {fetchRelayInformation} from 'nostr-tools/nip11';
import {finalizeEvent, generateSecretKey, getPublicKey, verifyEvent} from 'nostr-tools/pure';
import {Relay} from 'nostr-tools/relay';

const PATIENCE_MS = 50_000; // less than that of interop_test.cc, so that the reason is told here
const START = Math.floor(Date.now() / 1000) - 10_000;
const alice = generateSecretKey();
const bob = generateSecretKey();

// `age` counts up: a larger one is newer.
function sign(key, kind, age, content = '', tags = []) {
  return finalizeEvent({kind, created_at: START + age, content, tags}, key);
}

const plain = ({id, pubkey, created_at, kind, tags, content, sig}) => ({id, pubkey, created_at, kind, tags, content, sig});

async function connect(url) {
  const relay = new Relay(url);
  relay.baseEoseTimeout = PATIENCE_MS; // the library makes up an EOSE when it is tired of waiting
  relay.publishTimeout = PATIENCE_MS;
  await relay.connect();
  return relay;
}

async function publish(relay, ...events) {
  for (const event of events) await relay.publish(event);
}

// What is stored, in the order in which it comes.
function fetch(relay, ...filters) {
  return new Promise((resolve, reject) => {
    const events = [];
    const subscription = relay.subscribe(filters, {
      onevent: (event) => events.push(event),
      oninvalidevent: (event) => reject(new Error(`invalid: ${JSON.stringify(event)}`)),
      oneose: () => {
        subscription.onclose = undefined;
        subscription.close();
        resolve(events);
      },
      onclose: (reason) => reject(new Error(reason)),
    });
  });
}

async function assertStored(relay, filters, expected) {
  const events = await fetch(relay, ...filters);
  assert.deepEqual(events.map(plain), expected.map(plain));
  assert(events.every((event) => verifyEvent(plain(event))));
}

// A subscription whose events are awaited one after the other.
class Live {
  constructor(relay, filters) {
    this.events = [];
    this.wake = () => {};
    this.stored = new Promise((resolve, reject) => {
      this.subscription = relay.subscribe(filters, {
        onevent: (event) => {
          this.events.push(event);
          this.wake();
        },
        oneose: () => resolve(this.events.length),
        onclose: (reason) => reject(new Error(reason)),
      });
    });
  }

  async next() {
    while (this.events.length === 0) await new Promise((resolve) => (this.wake = resolve));
    return plain(this.events.shift());
  }
}

// The ids that only we have and that only the relay has.
function reconcile(relay, filter, events) {
  const storage = new nip77.NegentropyStorageVector();
  for (const event of events) storage.insert(event.created_at, event.id);
  storage.seal();
  const have = [];
  const need = [];
  return new Promise((resolve, reject) => {
    const sync = new nip77.NegentropySync(relay, storage, filter, {
      onhave: (id) => have.push(id),
      onneed: (id) => need.push(id),
      onclose: (reason) => (reason ? reject(new Error(reason)) : resolve({have: have.sort(), need: need.sort()})),
    });
    sync.start();
  });
}

const idsOf = (events) => events.map(({id}) => id).sort();

const cases = {
  async publish_and_fetch(relay) {
    const odd = '"quotes" \\ \n\r\t\b\f \u0001 é 日本 😀 </script>';
    const events = [sign(alice, 1, 2, odd, [['t', odd], ['x'], ['']]), sign(alice, 1, 1)];
    await publish(relay, ...events);
    await publish(relay, events[0]); // a duplicate is accepted too
    await assertStored(relay, [{kinds: [1]}], events);
  },

  async filters(relay) {
    const [a, b, c, d] = [
      sign(alice, 1, 4, 'a', [['t', 'red'], ['t', 'blue']]), sign(bob, 1, 3, 'b', [['t', 'blue']]),
      sign(alice, 7, 2, 'c', [['e', 'f'.repeat(64)]]), sign(bob, 1, 1, 'd'),
    ];
    await publish(relay, c, a, d, b);
    await assertStored(relay, [{}], [a, b, c, d]);
    await assertStored(relay, [{ids: [d.id, a.id]}], [a, d]);
    await assertStored(relay, [{authors: [getPublicKey(alice)]}], [a, c]);
    await assertStored(relay, [{kinds: [7, 9]}], [c]);
    await assertStored(relay, [{'#t': ['blue']}], [a, b]);
    await assertStored(relay, [{'#t': ['red', 'green']}], [a]);
    await assertStored(relay, [{'#e': ['f'.repeat(64)], kinds: [7]}], [c]);
    await assertStored(relay, [{since: START + 2, until: START + 3}], [b, c]);
    await assertStored(relay, [{limit: 2}], [a, b]);
    await assertStored(relay, [{authors: [getPublicKey(bob)], kinds: [7]}], []);
    // Of several filters each gives its own, and what two give comes once.
    const union = await fetch(relay, {kinds: [7]}, {'#t': ['blue'], limit: 1}, {ids: [a.id]});
    assert.deepEqual(idsOf(union), idsOf([a, c]));
  },

  async live(relay, url) {
    const stored = sign(alice, 1, 1, 'stored');
    await publish(relay, stored);
    const live = new Live(relay, [{kinds: [1]}, {'#t': ['x']}]);
    assert.equal(await live.stored, 1);
    const [first, other, second] = [
      sign(bob, 1, 2, 'first', [['t', 'x']]), sign(bob, 7, 3), sign(bob, 7, 4, 'second', [['t', 'x']]),
    ];
    const writer = await connect(url);
    await publish(writer, first, other, second);
    for (const event of [stored, first, second]) assert.deepEqual(await live.next(), plain(event));
    live.subscription.onclose = undefined;
    live.subscription.close();
    writer.close();
  },

  async ephemeral(relay) {
    const live = new Live(relay, [{kinds: [20001]}]);
    assert.equal(await live.stored, 0);
    const event = sign(alice, 20001, 1, 'gone');
    await publish(relay, event);
    assert.deepEqual(await live.next(), plain(event));
    await assertStored(relay, [{kinds: [20001]}], []);
  },

  async count(relay) {
    await publish(relay, ...[1, 2, 3].map((age) => sign(alice, 1, age)), sign(bob, 7, 4));
    assert.equal(await relay.count([{kinds: [1]}], {}), 3);
    assert.equal(await relay.count([{kinds: [1]}, {authors: [getPublicKey(bob)]}], {}), 4);
    assert.equal(await relay.count([{kinds: [9]}], {}), 0);
  },

  async replaceable_and_addressable(relay) {
    const [old, current] = [sign(alice, 0, 1, 'old'), sign(alice, 0, 2, 'new')];
    const address = (age, name) => sign(alice, 30000, age, String(age), [['d', name]]);
    const [one1, one2, two] = [address(3, 'one'), address(5, 'one'), address(4, 'two')];
    await publish(relay, old, current, one2, two);
    for (const late of [old, one1]) {
      await assert.doesNotReject(relay.publish(late).catch((error) => assert.match(String(error), /duplicate:/)));
    }
    await assertStored(relay, [{kinds: [0]}], [current]);
    await assertStored(relay, [{kinds: [30000]}], [one2, two]);
    await assertStored(relay, [{kinds: [30000], '#d': ['one'], authors: [getPublicKey(alice)]}], [one2]);
  },

  async deletion(relay) {
    const [gone, stays] = [sign(alice, 1, 1, 'gone'), sign(bob, 1, 2, 'of another author')];
    const address = sign(alice, 30000, 3, '', [['d', 'x']]);
    await publish(relay, gone, stays, address);
    const deletion = sign(alice, 5, 4, '', [['e', gone.id], ['e', stays.id], ['a', `30000:${address.pubkey}:x`]]);
    await publish(relay, deletion);
    await assertStored(relay, [{}], [deletion, stays]);
    await assert.rejects(relay.publish(gone), /^Error: blocked: /);
    const later = sign(alice, 30000, 5, 'later', [['d', 'x']]);
    await publish(relay, later);
    await assertStored(relay, [{kinds: [30000]}], [later]);
  },

  async refusals(relay) {
    const forged = {...sign(alice, 1, 1), content: 'forged'};
    await assert.rejects(relay.publish(forged), /^Error: invalid: /);
    const unsigned = {...sign(alice, 1, 2), sig: '0'.repeat(128)};
    await assert.rejects(relay.publish(unsigned), /^Error: invalid: /);
    await assert.rejects(relay.publish(sign(alice, 1, 3, 'x'.repeat(300 << 10))), /^Error: invalid: /);
    await assert.rejects(relay.publish(sign(alice, 1, 4, '', [['expiration', '1']])), /^Error: invalid: /);
    await assert.rejects(relay.publish(sign(alice, 1, 5, '', [[]])), /^Error: invalid: /);
    await assert.rejects(fetch(relay, {ids: ['short']}), /invalid: /);
    await assertStored(relay, [{}], []);
  },

  async authentication(relay) {
    const event = sign(alice, 1, 1, 'protected', [['-']]);
    await assert.rejects(relay.publish(event), /^Error: auth-required: /);
    const answer = async (template, key) => finalizeEvent(template, key);
    await relay.auth((template) => answer(template, bob));
    await assert.rejects(relay.publish(event), /^Error: restricted: /);
    relay.authPromise = undefined; // the library remembers one identity for each connection
    await assert.rejects(
      relay.auth((template) => answer({...template, tags: [['relay', relay.url], ['challenge', 'made up']]}, alice)),
      /^Error: (auth-required|invalid|restricted): /);
    relay.authPromise = undefined;
    await relay.auth((template) => answer(template, alice));
    await publish(relay, event, sign(bob, 1, 2, 'protected as well', [['-']]));
    assert.equal((await fetch(relay, {kinds: [1]})).length, 2);
    await assertStored(relay, [{kinds: [1], authors: [getPublicKey(alice)]}], [event]);
  },

  async information(_, url) {
    const document = await fetchRelayInformation(url);
    assert.equal(document.name, 'interop');
    assert.match(document.version, /^\d+\.\d+\.\d+/);
    for (const nip of [1, 9, 11, 34, 40, 42, 45, 70, 77]) assert(document.supported_nips.includes(nip), `NIP-${nip}`);
    assert.equal(document.limitation.payment_required, false);
    assert(document.limitation.max_message_length >= 64 << 10);
  },

  async negentropy(relay) {
    const events = Array.from({length: 300}, (_, age) => sign(age % 2 ? alice : bob, 1, age));
    await publish(relay, ...events.slice(100), sign(alice, 7, 1));
    assert.deepEqual(await reconcile(relay, {kinds: [1]}, events.slice(0, 200)), {
      have: idsOf(events.slice(0, 100)), need: idsOf(events.slice(200)),
    });
    assert.deepEqual(await reconcile(relay, {kinds: [1]}, events.slice(100)), {have: [], need: []});
    assert.deepEqual(await reconcile(relay, {kinds: [1], authors: [getPublicKey(bob)]}, []), {
      have: [], need: idsOf(events.slice(100).filter(({pubkey}) => pubkey === getPublicKey(bob))),
    });
  },

  async git_collaboration(relay) {
    const owner = getPublicKey(alice);
    const coordinate = `30617:${owner}:project`;
    const announce = (host) => sign(alice, 30617, 1, '', [
      ['d', 'project'], ['name', 'Project'], ['clone', `https://${host}/${owner}/project.git`], ['relays', `wss://${host}`],
    ]);
    const patch = sign(bob, 1617, 2, 'From 0 Mon Sep 17\nSubject: [PATCH] mend', [['a', coordinate], ['p', owner], ['t', 'root']]);
    await assert.rejects(relay.publish(patch), /^Error: restricted: /);
    await assert.rejects(relay.publish(announce('elsewhere.example')), /^Error: restricted: /);
    const announcement = announce('grasp.example');
    const state = sign(alice, 30618, 3, '', [['d', 'project'], ['refs/heads/main', 'c'.repeat(40)], ['HEAD', 'ref: refs/heads/main']]);
    const issue = sign(bob, 1621, 4, 'It breaks', [['a', coordinate], ['p', owner], ['subject', 'Broken']]);
    const reply = sign(alice, 1111, 5, 'It does', [
      ['E', issue.id], ['K', '1621'], ['P', issue.pubkey], ['e', issue.id], ['k', '1621'], ['p', issue.pubkey],
    ]);
    const closed = sign(alice, 1632, 6, '', [['e', issue.id, '', 'root'], ['p', issue.pubkey]]);
    await publish(relay, announcement, patch, state, issue, reply, closed);
    await assertStored(relay, [{'#a': [coordinate]}], [issue, patch]);
    await assertStored(relay, [{kinds: [30617, 30618], '#d': ['project']}], [state, announcement]);
    await assertStored(relay, [{'#e': [issue.id]}], [closed, reply]);
    await assert.rejects(relay.publish(sign(bob, 1, 7, 'about something else')), /^Error: restricted: /);
  },
};

const [name, url] = process.argv.slice(2);
setTimeout(() => {
  console.error(`${name}: the relay kept us waiting`);
  process.exit(1);
}, PATIENCE_MS);
const relay = await connect(url);
relay.onnotice = (notice) => assert.fail(`NOTICE ${notice}`);
await cases[name](relay, url);
process.exit(0); // the library keeps timers of subscriptions that were refused
