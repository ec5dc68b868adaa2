// A relay made of @nostr-relay, which knows no NIP-77: node nostr_relay.mjs PORT FILE. Serves the events of
// FILE (JSONL) and what it is sent, from memory, at most 100 for a filter. Port 0 takes a free one; the line
// "ready URL" says which. Ends with SIGTERM.
import {readFileSync} from 'node:fs';
import {EventRepository, LogLevel} from '@nostr-relay/common';
import {NostrRelay} from '@nostr-relay/core';
import {Validator} from '@nostr-relay/validator';
import {matchFilter} from 'nostr-tools/filter';
import {isAddressableKind, isReplaceableKind} from 'nostr-tools/kinds';
import {WebSocketServer} from 'ws';

const PAGE = 100;

// What replaces one another has the same name.
function nameOf({id, kind, pubkey, tags}) {
  if (isReplaceableKind(kind)) return `${kind}:${pubkey}`;
  if (isAddressableKind(kind)) return `${kind}:${pubkey}:${tags.find(([name]) => name === 'd')?.[1] ?? ''}`;
  return id;
}

const newestFirst = (a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1);

class MemoryRepository extends EventRepository {
  events = new Map();

  isSearchSupported() {
    return false;
  }

  upsert(event) {
    const name = nameOf(event);
    const stored = this.events.get(name);
    const isDuplicate = stored !== undefined && newestFirst(stored, event) <= 0;
    if (!isDuplicate) this.events.set(name, event);
    return {isDuplicate};
  }

  find(filter) {
    const found = [...this.events.values()].filter((event) => matchFilter(filter, event));
    return found.sort(newestFirst).slice(0, Math.min(filter.limit ?? PAGE, PAGE));
  }

  async destroy() {}
}

const [port, file] = process.argv.slice(2);
const repository = new MemoryRepository();
for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) repository.upsert(JSON.parse(line));

const relay = new NostrRelay(repository, {logLevel: LogLevel.WARN});
const validator = new Validator();
const server = new WebSocketServer({host: '127.0.0.1', port: Number(port)});
server.on('connection', (socket) => {
  relay.handleConnection(socket);
  socket.on('message', async (data) => {
    try {
      await relay.handleMessage(socket, await validator.validateIncomingMessage(data));
    } catch (error) {
      socket.send(JSON.stringify(['NOTICE', error.message]));
    }
  });
  socket.on('close', () => relay.handleDisconnect(socket));
  socket.on('error', (error) => console.error(error));
});
server.on('listening', () => console.log(`ready ws://127.0.0.1:${server.address().port}`));
