import type { Client } from 'ssh2';
import { createSlots } from '../../../lib/slots.ts';
import { internalsOf, type Channels } from './internals.ts';

/**
 * Uses the number of a closed channel again (RFC 4254 section 5.3), as OpenSSH does: ssh2 counts on to 2^32, in an object for which V8 makes a
 * new table every few dozen channels (lib/slots.ts says what that costs). Call right after client.connect().
 */
export function reuseNumbers(client: Client): void {
  const { _chanMgr: table } = internalsOf(client);
  const slots = createSlots<{ channel: Channels[number] }>();
  const { cleanup } = table;
  table.add = (channel = true) => {
    const number = slots.add({ channel });
    table._cur = Math.max(table._cur, number);
    return number;
  };
  table.get = (number) => slots.get(number)?.channel;
  table.update = (number, channel) => {
    const slot = slots.get(number);
    if (slot !== undefined) slot.channel = channel;
  };
  table.remove = slots.remove;
  table.cleanup = (error) => {
    for (const [number, { channel }] of slots.entries()) table._channels[number] = channel;
    cleanup.call(table, error);
  };
}
