import type { Socket } from 'node:net';
import type { Logger } from '../../lib/log/log.ts';

/** A visitor that is being served. */
export interface Visit {
  /** Its socket on this device, as soon as there is one. */
  socket: Socket | null;
}

/** All visitors that one session serves. */
export interface Visits {
  count(): number;
  /** Serves a visitor until `work` ends; where that rejects, which is a bug, `giveUp` ends the visit. */
  serve(work: (visit: Visit) => Promise<void>, giveUp: () => void): void;
  /** Resolves when the last visit has ended. Never rejects. */
  ended(): Promise<void>;
  /** Destroys the sockets of the visits that have not ended, waits for none, and logs it. */
  force(): void;
}

export function createVisits(log: Logger): Visits {
  const visits = new Map<Visit, Promise<void>>();
  const serve = async (visit: Visit, work: (visit: Visit) => Promise<void>, giveUp: () => void) => {
    try {
      await work(visit);
    } catch (error) {
      log.error({ code: 'internal', error }, 'a bug: the connection of a visitor ended');
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
        'a bug: connections outlived their session and are destroyed',
      );
      for (const { socket } of visits.keys()) socket?.destroy();
      visits.clear();
    },
  };
}
