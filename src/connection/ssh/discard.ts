import type { Channel } from './connection.ts';

/** Closes a channel and drops its data: an unread channel would never close. */
export function discard(channel: Channel): void {
  channel.on('error', () => {});
  channel.resume();
  channel.close();
}
