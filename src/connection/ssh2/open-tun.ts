import type { Client } from 'ssh2';
import { type Answered, internalsOf, type Protocol } from './protocol/internals.ts';
import { PACKET, WINDOW } from './session-channel.ts';

/**
 * Requests a tunnel device of any number (section 2.3 of OpenSSH's PROTOCOL), and closes it at once. A refusal by the
 * rules and one for want of a device have the same code: a preceding debug message of sshd distinguishes them
 * (server_request_tun in its serverloop.c). ssh2 has no such channel, so its opening is built here.
 */
export function openTun(client: Client, done: (answer: 'granted' | 'refused' | 'unable') => void): void {
  const { _chanMgr: channels, _protocol: protocol } = internalsOf(client);
  let unable = false;
  const before = protocol._handlers.DEBUG;
  protocol._handlers.DEBUG = (_, __, message) => {
    if (/failed to open the tunnel device/i.test(message)) unable = true;
  };
  const opened: Answered = (error, channel) => {
    protocol._handlers.DEBUG = before;
    channel?.on('error', () => {}).resume();
    channel?.close();
    if (error === undefined && channel !== undefined) done('granted');
    else done(unable ? 'unable' : 'refused');
  };
  send(protocol, channels.add(Object.assign(opened, { type: 'tun' })));
}

const CHANNEL_OPEN = 90;
const TYPE = Buffer.from('tun@openssh.com');
/** SSH_TUNMODE_POINTOPOINT, and SSH_TUNID_ANY, of OpenSSH's misc.h. */
const [POINT_TO_POINT, ANY] = [1, 0x7fffffff];

function send(protocol: Protocol, id: number): void {
  const { write } = protocol._packetRW;
  const packet = write.alloc(1 + 4 + TYPE.length + 5 * 4);
  let at = packet.writeUInt8(CHANNEL_OPEN, write.allocStart);
  at = packet.writeUInt32BE(TYPE.length, at);
  packet.set(TYPE, at);
  at += TYPE.length;
  for (const number of [id, WINDOW, PACKET, POINT_TO_POINT, ANY]) at = packet.writeUInt32BE(number, at);
  const ready = write.finalize(packet);
  // As sendPacket() in ssh2's utils.js: during a key exchange the packet waits.
  if (protocol._kexinit === undefined) protocol._cipher.encrypt(ready);
  else (protocol._queue ??= []).push(ready);
}
