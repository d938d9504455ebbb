import type { Socket } from 'node:net';

/** `idle` has not asked yet, or has its answer; `answered` is being answered; `following` reads the log. */
export type ClientState = 'idle' | 'answered' | 'following';

/** The connections of one socket, of which there is a bounded number. */
export interface Clients {
  /** Adds a connection; beyond the limit one is closed for it, see indexToDrop(). */
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
 * Which of these, the oldest first, is closed: the oldest that has asked nothing, else the oldest reader of the log. The newest, last in
 * the list, has not had the time to ask, and is closed only where all others are being answered.
 */
export function indexToDrop(states: readonly ClientState[]): number {
  const others = states.slice(0, -1);
  const idle = others.indexOf('idle');
  if (idle !== -1) return idle;
  const following = others.indexOf('following');
  return following === -1 ? states.length - 1 : following;
}
