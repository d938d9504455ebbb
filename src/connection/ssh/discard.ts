import type { Channel } from './connection.ts';

/** Closes a channel, whatever comes of it; one that nobody reads would never be. */
export function discard(channel: Channel): void {
  channel.on('error', () => {});
  channel.resume();
  channel.close();
}
