import type { Socket } from 'node:net';
import type { Logger } from '../../lib/log/log.ts';

/** One visitor who is being served. */
export interface Visit {
  /** The end of it on this device, as soon as there is one. */
  socket: Socket | null;
}

/** All who are being served by one session. */
export interface Visits {
  count(): number;
  /** Serves one until `work` ends; where that is a bug, `giveUp` ends the visit. */
  serve(work: (visit: Visit) => Promise<void>, giveUp: () => void): void;
  /** Resolves when the last one has gone. Never rejects. */
  ended(): Promise<void>;
  /** Closes the sockets of those who are still there, waits for none, and says so. */
  force(): void;
}

export function createVisits(log: Logger): Visits {
  const visits = new Map<Visit, Promise<void>>();
  const serve = async (visit: Visit, work: (visit: Visit) => Promise<void>, giveUp: () => void) => {
    try {
      await work(visit);
    } catch (error) {
      log.error({ code: 'internal', error }, 'a bug ended the connection of a visitor');
      giveUp();
    }
  };
  return {
    count: () => visits.size,
    serve: (work, giveUp) => {
      const visit: Visit = { socket: null };
      const forget = () => void visits.delete(visit);
      visits.set(visit, serve(visit, work, giveUp).then(forget, forget));
    },
    ended: async () => {
      await Promise.all(visits.values());
    },
    force: () => {
      if (visits.size === 0) return;
      log.error(
        { code: 'internal', connections: visits.size },
        'a bug: connections did not end with their session and are closed by force',
      );
      for (const { socket } of visits.keys()) socket?.destroy();
      visits.clear();
    },
  };
}
