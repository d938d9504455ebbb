import type { Client } from 'ssh2';
import { Socket } from 'node:net';
import { afterRead, readerOf, type Take } from '../../../net/streams/lent-memory.ts';
import { descriptorReader, senderPast } from '../../../net/streams/send-past.ts';
import { loadAddon, type Opener, type Sealer } from '../../../lib/addon.ts';
import { timerAfterIo, type Clock } from '../../../lib/async/clock.ts';
import type { SshStream } from '../../../net/streams/stream-adapter.ts';
import type { Channel } from '../../ssh/connection.ts';
import { internalsOf, type OpenChannel, type Protocol } from '../protocol/internals.ts';
import { BatchCipher, type WritePackets } from './cipher.ts';
import type { Keys } from './codec.ts';
import { BatchDecipher, type Passage } from './decipher.ts';
import { nativeCodec } from './native.ts';
import { gcmOpener, gcmSealer } from './node-gcm.ts';
import { PATIENCE_MS, type ConnectionChannels } from './interactive.ts';

/**
 * Has packets sealed and opened in batches where the agreed cipher is AES-GCM or ChaCha20-Poly1305, from the first exchange of
 * keys on. Other ciphers stay ssh2's. Call right after client.connect(), before the guards.
 */
export function batchPackets(client: Client, stream: SshStream, channels: ConnectionChannels, clock: Clock): void {
  const { _protocol: protocol } = internalsOf(client);
  const write = writerOf(stream);
  const passage: Passage = {
    isCompressed: () => protocol._packetRW.read._zlib !== undefined,
    take: (ours, memory, start, end) => protocol.takeData(ours, memory, start, end),
    mustStop: (packets) => protocol.mustStop(packets),
  };
  protocol.needsNoWasm = NATIVE !== null;
  protocol.createCipher = (config, usual) => {
    const { cipherInfo, cipherKey: key, cipherIV: iv, seqno: sequence } = config.outbound;
    const sealer = sealerOf({ cipher: cipherInfo.sslName, key, iv, sequence });
    return sealer === null ? usual(config) : new BatchCipher(sealer, sequence, write);
  };
  protocol.createDecipher = (config, usual) => {
    const { decipherInfo, decipherKey: key, decipherIV: iv, seqno: sequence, onPayload } = config.inbound;
    const opener = openerOf({ cipher: decipherInfo.sslName, key, iv, sequence });
    return opener === null ? usual(config) : new BatchDecipher(opener, sequence, onPayload, passage);
  };
  const { channelData, disconnect } = protocol;
  protocol.channelData = (id, data) => {
    const cipher = plainCipherOf(protocol);
    if (cipher === null) channelData.call(protocol, id, data);
    else cipher.sendData(data, 0, data.length, id, data.length);
  };
  protocol.disconnect = (reason) => {
    disconnect.call(protocol, reason);
    // The stream is ended next.
    flushOf(protocol);
  };
  reportWindows(client);
  readDirectly(client, stream, channels, clock);
}

function flushOf({ _cipher: cipher }: Protocol): void {
  if (cipher instanceof BatchCipher) cipher.flush();
}

/** Sends what would leave at the end of this tick, unless this iteration of the event loop has sent already. */
export function sendSealed(client: Client): void {
  const { _cipher: cipher } = internalsOf(client)._protocol;
  if (cipher instanceof BatchCipher) cipher.flushFirst();
}

/**
 * Gives a channel of this client its sendNow(): all packets of a read are sealed in one call, and its stream costs nothing. By a name: V8
 * puts a function without one, in a property, where only a full garbage collection comes (see guardListeners()).
 */
export function sendsNow(client: Client, channel: Channel, channels: ConnectionChannels, clock: Clock): Channel {
  const { _protocol: protocol } = internalsOf(client);
  const { incoming, outgoing } = channel as unknown as OpenChannel & { readonly outgoing: Outgoing };
  const sending = channels.sending(incoming.id);
  const mayPass = () => protocol._kexinit === undefined && outgoing.state === 'open' && channel.writable;
  const sendNow: Channel['sendNow'] = (memory, start, end) => {
    if (!mayPass() || channel.writableLength > 0) return 0;
    const to = Math.min(end, start + sending.usable(outgoing.window, end - start, clock.now()));
    if (to === start) return 0;
    outgoing.window -= to - start;
    const { id, packetSize } = outgoing;
    const cipher = plainCipherOf(protocol);
    if (cipher !== null) cipher.sendData(memory, start, to, id, packetSize);
    else
      for (let at = start; at < to; at += packetSize)
        protocol.channelData(id, memory.subarray(at, Math.min(to, at + packetSize)));
    return to - start;
  };
  const onceWindowOpens: Channel['onceWindowOpens'] = (listener) => {
    if (!mayPass() || channel.writableLength > 0 || (outgoing.window > 0 && !sending.isHeldBack)) return false;
    outgoing[ON_OPEN] = outgoing.window > 0 ? withPatience(listener) : listener;
    return true;
  };
  const withPatience = (listener: () => void) => {
    const cancel = timerAfterIo(clock, PATIENCE_MS, () => {
      if (outgoing[ON_OPEN] !== onOpen) return;
      sending.waitedInVain(clock.now());
      outgoing[ON_OPEN] = undefined;
      listener();
    });
    const onOpen = () => {
      cancel();
      listener();
    };
    return onOpen;
  };
  const mostAtOnce: Channel['mostAtOnce'] = () => sending.mostAtOnce;
  return Object.assign(channel, { sendNow, onceWindowOpens, mostAtOnce });
}

/** What waits for the window of the server's end of a channel; at that end itself, for the reason that lent-memory.ts has with its readers. */
const ON_OPEN = Symbol('on open');
type Outgoing = OpenChannel['outgoing'] & { [ON_OPEN]?: (() => void) | undefined };

function reportWindows(client: Client): void {
  const { _protocol: protocol, _chanMgr: table } = internalsOf(client);
  const handlers = protocol._handlers;
  const onAdjust = handlers.CHANNEL_WINDOW_ADJUST;
  handlers.CHANNEL_WINDOW_ADJUST = (self, id, bytes) => {
    onAdjust(self, id, bytes);
    const channel = table.get(id);
    if (typeof channel !== 'object') return;
    const outgoing: Outgoing = channel.outgoing;
    const listener = outgoing[ON_OPEN];
    outgoing[ON_OPEN] = undefined;
    listener?.();
  };
}

/** Ours, where nothing is between it and a packet: no exchange of keys, no compression. */
function plainCipherOf({ _cipher: cipher, _kexinit: exchange, _packetRW: packets }: Protocol): BatchCipher | null {
  return cipher instanceof BatchCipher && exchange === undefined && packets.write._zlib === undefined ? cipher : null;
}

function sealerOf(keys: Keys): Sealer | null {
  if (!CIPHERS.has(keys.cipher)) return null;
  return NATIVE?.sealer(keys) ?? (keys.cipher === CHACHA ? null : gcmSealer(keys));
}

function openerOf(keys: Keys): Opener | null {
  if (!CIPHERS.has(keys.cipher)) return null;
  return NATIVE?.opener(keys) ?? (keys.cipher === CHACHA ? null : gcmOpener(keys));
}

/** Loaded with the program: later an upgrade may have replaced the file. */
const NATIVE = nativeCodec();
const CHACHA = 'chacha20';
const CIPHERS: ReadonlySet<string> = new Set(['aes-128-gcm', 'aes-256-gcm', CHACHA]);

function writerOf(stream: SshStream): WritePackets {
  // Another stream may keep what it has called written.
  const isSocket = stream instanceof Socket;
  const sendPast = isSocket ? senderPast(stream) : null;
  return (memory, end, written) => {
    if (!stream.writable) return true;
    const sent = sendPast?.(memory, end) ?? 0;
    if (sent === end) return true;
    let free = false;
    stream.write(memory.subarray(sent, end), () => {
      if (isSocket && !free) written();
    });
    free = isSocket && stream.writableLength === 0;
    return free;
  };
}

/** Has what the server sends opened in the memory into which it was read, from the login on. */
function readDirectly(client: Client, stream: SshStream, channels: ConnectionChannels, clock: Clock): void {
  const reader = readerOf(stream);
  if (reader === null) return;
  const { _protocol: protocol } = internalsOf(client);
  const acknowledge = stream instanceof Socket ? acknowledgerOf(stream) : null;
  /** Whether somebody waits for what comes: as the last large read found. */
  let isWaitedFor = false;
  const take: Take = (memory, start, end) => {
    try {
      if (protocol._decipher instanceof BatchDecipher) {
        const isMuch = end - start >= MUCH;
        if (isMuch) isWaitedFor = channels.came(end - start, clock.now());
        protocol.parse(memory, start, end);
        protocol.grantWindows();
        // Before what came is passed on, most of which is still to be sent: the server may be out of its window.
        if (isMuch) flushOf(protocol);
        if (acknowledge !== null && end - start < FEW_BYTES) afterRead(acknowledge);
        return;
      }
      const copy = Buffer.from(memory.subarray(start, end));
      protocol.parse(copy, 0, copy.length);
    } catch (error) {
      // As ssh2 does.
      client.emit('error', error);
      if (stream.writable) stream.end();
    }
  };
  const most = () => (isWaitedFor ? MUCH : Number.POSITIVE_INFINITY);
  client.once('ready', () => reader.direct(take, { most, mayWait: () => !isWaitedFor }));
}

/**
 * What came is acknowledged now, where nothing that we have just written has done it: OpenSSH's server leaves Nagle's algorithm on, and does
 * not send the next few bytes, of another visitor, say, before those are acknowledged, which the kernel puts off for 40 ms.
 */
function acknowledgerOf(socket: Socket): (() => void) | null {
  const { addon } = loadAddon();
  if (addon === null) return null;
  const descriptor = descriptorReader(socket);
  return () => {
    const fd = descriptor();
    if (fd !== null) addon.acknowledge(fd);
  };
}

/** Of more the kernel acknowledges two segments at once. */
const FEW_BYTES = 1500;
/** In bytes: a write of the packets that it brings about costs little beside it, and what is typed does not wait long for as much. */
const MUCH = 128 * 1024;
