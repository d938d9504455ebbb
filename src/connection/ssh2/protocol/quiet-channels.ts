import type { Client } from 'ssh2';
import { internalsOf } from './internals.ts';

/**
 * Sends nothing for a channel after its close (RFC 4254 section 5.3). ssh2 goes on adding window for incoming data, and
 * answers requests: Dropbear and AsyncSSH then end the whole connection (mscdex/ssh2#1483). Call right after
 * client.connect().
 */
export function quietAfterClose(client: Client): void {
  const { _protocol: protocol, _chanMgr: channels } = internalsOf(client);
  const { channelClose, channelWindowAdjust, channelFailure, _handlers: handlers } = protocol;
  // By the server's number: the server may reuse it for another channel when it has closed this one too.
  const closed = new Set<number>();

  protocol.channelClose = (id) => {
    closed.add(id);
    channelClose.call(protocol, id);
  };
  protocol.channelWindowAdjust = (id, bytes) => {
    if (!closed.has(id)) channelWindowAdjust.call(protocol, id, bytes);
  };
  protocol.channelFailure = (id) => {
    if (!closed.has(id)) channelFailure.call(protocol, id);
  };
  const onClose = handlers.CHANNEL_CLOSE;
  handlers.CHANNEL_CLOSE = (self, recipient) => {
    const channel = channels.get(recipient);
    onClose(self, recipient);
    if (typeof channel === 'object') closed.delete(channel.outgoing.id);
  };
}
