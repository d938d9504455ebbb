import assert from 'node:assert/strict';
import { createDiffieHellmanGroup } from 'node:crypto';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import type { Client, ConnectConfig } from '#ssh2';
import {
  type Group,
  type Handlers,
  type Internals,
  internalsOf,
  type OpenChannel,
  type Protocol,
} from '../../../../src/connection/ssh2/protocol/internals.ts';
import { ssh2Client } from '../../../support/ssh2-client.ts';
import { startSshd } from '../../../support/sshd.ts';

type Kinds<Part> = Readonly<Record<keyof Part, string>>;

/** What each part is on a connection that is logged in, with a channel. An update of ssh2 that changes one breaks what relies on it. */
const CLIENT = {
  _chanMgr: 'object',
  _protocol: 'object',
  _callbacks: 'array',
  _remoteVer: 'string',
} satisfies Kinds<Internals>;

const PROTOCOL = {
  parse: 'function',
  _parse: 'function',
  _decipher: 'object',
  _handlers: 'object',
  _kexinit: 'undefined',
  _queue: 'undefined',
  _cipher: 'object',
  _packetRW: 'object',
  _destruct: 'function',
  _debug: 'function',
  _compatFlags: 'number',
  rekey: 'function',
  ping: 'function',
  session: 'function',
  exec: 'function',
  shell: 'function',
  subsystem: 'function',
  pty: 'function',
  x11Forward: 'function',
  env: 'function',
  openssh_agentForward: 'function',
  channelClose: 'function',
  channelOpenConfirm: 'function',
  directTcpip: 'function',
  openssh_directStreamLocal: 'function',
  channelWindowAdjust: 'function',
  channelFailure: 'function',
  channelOpenFail: 'function',
  requestFailure: 'function',
  authNone: 'function',
  authPassword: 'function',
  authPK: 'function',
  authKeyboard: 'function',
  // Doors of our own, closed until somebody opens them (packaging/ssh2-replacements.mjs).
  channelData: 'function',
  disconnect: 'function',
  createCipher: 'undefined',
  createDecipher: 'undefined',
  needsNoWasm: 'undefined',
  openGroup: 'undefined',
  openHybrid: 'undefined',
  openHostKey: 'undefined',
  prepareSecret: 'undefined',
  exchangeBegins: 'undefined',
  readHostKey: 'undefined',
  takeData: 'undefined',
  grantWindows: 'undefined',
  mustStop: 'undefined',
} satisfies Kinds<Protocol>;

const HANDLERS = {
  DEBUG: 'function',
  EXT_INFO: 'function',
  SERVICE_ACCEPT: 'function',
  USERAUTH_BANNER: 'function',
  USERAUTH_FAILURE: 'function',
  USERAUTH_SUCCESS: 'function',
  USERAUTH_PK_OK: 'function',
  USERAUTH_INFO_REQUEST: 'function',
  USERAUTH_PASSWD_CHANGEREQ: 'function',
  GLOBAL_REQUEST: 'function',
  CHANNEL_OPEN: 'function',
  CHANNEL_OPEN_CONFIRMATION: 'function',
  CHANNEL_OPEN_FAILURE: 'function',
  CHANNEL_DATA: 'function',
  CHANNEL_EXTENDED_DATA: 'function',
  CHANNEL_WINDOW_ADJUST: 'function',
  CHANNEL_REQUEST: 'function',
  CHANNEL_SUCCESS: 'function',
  CHANNEL_FAILURE: 'function',
  CHANNEL_EOF: 'function',
  CHANNEL_CLOSE: 'function',
} satisfies Kinds<Handlers>;

const CHANNEL = {
  type: 'string',
  incoming: 'object',
  outgoing: 'object',
  read: 'function',
  readableLength: 'number',
  readableHighWaterMark: 'number',
  // Ours, where somebody counts what is not sent yet.
  unsent: 'undefined',
  takesLent: 'undefined',
  onLent: 'undefined',
  readableFlowing: 'object', // null before anybody reads
  writable: 'boolean',
  writableLength: 'number',
  _readableState: 'object',
  once: 'function',
} satisfies Kinds<OpenChannel>;

test('has the parts of ssh2 that are relied upon, as they are known', async (t) => {
  const client = await connecting(t, { debug: () => {} });
  await once(client, 'ready');
  const channel = await new Promise<unknown>((resolve, reject) =>
    client.exec('sleep 60', (error, opened) => (error ? reject(error) : resolve(opened))),
  );
  const inside = internalsOf(client);
  assert.deepEqual(kindsOf(inside, CLIENT), CLIENT);
  assert.deepEqual(kindsOf(inside._protocol, PROTOCOL), PROTOCOL);
  assert.deepEqual(kindsOf(inside._protocol._handlers, HANDLERS), HANDLERS);
  assert.deepEqual(kindsOf(channel as OpenChannel, CHANNEL), CHANNEL);
  assert.equal(inside._chanMgr.get((channel as { incoming: { id: number } }).incoming.id), channel);
  assert.ok(inside._chanMgr._cur >= 0);
  const { add, update, remove, cleanup, _channels } = inside._chanMgr;
  assert.deepEqual(
    [add, update, remove, cleanup, _channels].map((part) => typeof part),
    ['function', 'function', 'function', 'function', 'object'],
  );
  const { read, write } = inside._protocol._packetRW;
  assert.deepEqual(
    [typeof read, typeof write.alloc, typeof write.finalize, typeof write.allocStart],
    ['object', 'function', 'function', 'number'],
  );
});

test('opens a key exchange by its door, and uses what the door gave', async (t) => {
  const client = await connecting(t, { algorithms: { kex: ['diffie-hellman-group14-sha256'] } });
  const steps: unknown[] = [];
  internalsOf(client)._protocol.openGroup = (exchange, _prime, _generator, bits, proceed) => {
    steps.push([exchange._dh, exchange._public, bits]);
    const ours = createDiffieHellmanGroup('modp14');
    exchange._public = ours.generateKeys();
    const computeSecret = (theirs: Buffer) => {
      steps.push('the secret');
      return ours.computeSecret(theirs);
    };
    exchange._dh = { computeSecret, getPrime: () => ours.getPrime(), getGenerator: () => ours.getGenerator() } as Group;
    setImmediate(proceed);
    return false;
  };
  await once(client, 'ready');
  assert.deepEqual(steps, [[null, null, [0, 8192]], 'the secret']);
});

test('tells when an exchange of keys begins', async (t) => {
  const client = await connecting(t, {});
  const { _protocol: protocol } = internalsOf(client);
  let begun = 0;
  protocol.exchangeBegins = () => {
    assert.notEqual(protocol._kexinit, undefined);
    begun += 1;
  };
  await once(client, 'ready');
  assert.equal(begun, 1);
  protocol.rekey();
  assert.equal(begun, 2);
  await once(client, 'handshake');
  assert.equal(protocol._kexinit, undefined);
});

/** A client that has begun to log in at a server of its own. */
async function connecting(t: TestContext, options: ConnectConfig): Promise<Client> {
  const sshd = await startSshd({ everyKeyExchange: true });
  t.after(() => sshd.stop());
  return ssh2Client(t, sshd, options);
}

function kindsOf<Part extends object>(part: Part, known: Kinds<Part>): Record<string, string> {
  const kindOf = (value: unknown) => (Array.isArray(value) ? 'array' : typeof value);
  return Object.fromEntries(Object.keys(known).map((name) => [name, kindOf((part as Record<string, unknown>)[name])]));
}
