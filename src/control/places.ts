import type { Socket } from 'node:net';

/** What a client's connection is there for: it has not asked yet (or has its answer), is being answered, or follows the log. */
export type Occupation = 'idle' | 'answered' | 'following';

/** The connections of one socket, of which there is a bounded number. */
export interface Places {
  /** Takes a connection in; where all places are taken, the one that nobody misses most is put out for it. */
  admit(socket: Socket): void;
  occupy(socket: Socket, occupation: Occupation): void;
  closeAll(): void;
}

export function createPlaces(limit: number): Places {
  const clients = new Map<Socket, Occupation>();
  return {
    admit: (socket) => {
      clients.set(socket, 'idle');
      socket.on('close', () => clients.delete(socket));
      if (clients.size <= limit) return;
      const [leaving] = [...clients].at(indexToPutOut([...clients.values()])) ?? [socket];
      clients.delete(leaving);
      leaving.destroy();
    },
    occupy: (socket, occupation) => {
      if (clients.has(socket)) clients.set(socket, occupation);
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
export function indexToPutOut(occupations: readonly Occupation[]): number {
  const others = occupations.slice(0, -1);
  const idle = others.indexOf('idle');
  if (idle !== -1) return idle;
  const following = others.indexOf('following');
  return following === -1 ? occupations.length - 1 : following;
}
