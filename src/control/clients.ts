import type { Socket } from 'node:net';

/** What a client's connection is there for: it has not asked yet (or has its answer), is being answered, or follows the log. */
export type ClientState = 'idle' | 'answered' | 'following';

/** The connections of one socket, of which there is a bounded number. */
export interface Clients {
  /** Takes a connection in; where all places are taken, the one that nobody misses most is put out for it. */
  add(socket: Socket): void;
  setState(socket: Socket, state: ClientState): void;
  closeAll(): void;
}

export function createClients(limit: number): Clients {
  const clients = new Map<Socket, ClientState>();
  return {
    add: (socket) => {
      clients.set(socket, 'idle');
      socket.on('close', () => clients.delete(socket));
      if (clients.size <= limit) return;
      const [leaving] = [...clients].at(indexToDrop([...clients.values()])) ?? [socket];
      clients.delete(leaving);
      leaving.destroy();
    },
    setState: (socket, state) => {
      if (clients.has(socket)) clients.set(socket, state);
    },
    closeAll: () => {
      for (const socket of clients.keys()) socket.destroy();
    },
  };
}

/**
 * Which of these, the oldest first, leaves: the oldest that has asked nothing, else the oldest reader of the log. The newest, last in
 * the list, has not had the time to ask, and leaves only where all others are being answered.
 */
export function indexToDrop(states: readonly ClientState[]): number {
  const others = states.slice(0, -1);
  const idle = others.indexOf('idle');
  if (idle !== -1) return idle;
  const following = others.indexOf('following');
  return following === -1 ? states.length - 1 : following;
}
