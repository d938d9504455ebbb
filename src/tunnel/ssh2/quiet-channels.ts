import type { Client } from 'ssh2';

/**
 * Says nothing more of a channel after its close (RFC 4254 section 5.3). ssh2 goes on giving window for what still comes in, and
 * answers the requests that come with it: Dropbear and AsyncSSH then end the whole connection (mscdex/ssh2#1483). To be called
 * right after client.connect().
 */
export function quietAfterClose(client: Client): void {
  const { _protocol: protocol, _chanMgr: channels } = client as unknown as Internals;
  const { channelClose, channelWindowAdjust, channelFailure, _handlers: handlers } = protocol;
  // By the server's number for them: it may give that to another channel when it has closed this one as well.
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
    const id = channels.get(recipient)?.outgoing?.id;
    onClose(self, recipient);
    if (id !== undefined) closed.delete(id);
  };
}

/** Of ssh2's Client and Protocol: what the first does with messages about channels, and what the second can say of them. */
interface Internals {
  readonly _chanMgr: { get(id: number): { readonly outgoing?: { readonly id: number } } | undefined };
  readonly _protocol: {
    channelClose(id: number): void;
    channelWindowAdjust(id: number, bytes: number): void;
    channelFailure(id: number): void;
    readonly _handlers: { CHANNEL_CLOSE(self: unknown, recipient: number): void };
  };
}
