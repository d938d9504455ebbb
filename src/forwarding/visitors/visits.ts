import type { Logger } from '../../lib/log/log.ts';
import { createSlots } from '../../lib/slots.ts';
import type { DeviceSocket } from '../../net/streams/device-socket.ts';

/** A visitor that is being served. */
export interface Visit {
  /** Its socket on this device, as soon as there is one. */
  socket: DeviceSocket | null;
}

export type Visits = ReturnType<typeof createVisits>;

/** All visitors that one session serves. */
export function createVisits(log: Logger) {
  const visits = createSlots<{ readonly visit: Visit; readonly served: Promise<void> }>();
  const serve = async (visit: Visit, work: (visit: Visit) => Promise<void>, giveUp: () => void) => {
    try {
      await work(visit);
    } catch (error) {
      log.error({ code: 'internal', error }, 'a bug: the connection of a visitor ended');
      giveUp();
    }
  };
  return {
    count: visits.count,
    /** Serves a visitor until `work` ends; where that rejects, which is a bug, `giveUp` ends the visit. */
    serve: (work: (visit: Visit) => Promise<void>, giveUp: () => void): void => {
      const visit: Visit = { socket: null };
      const forget = () => visits.remove(number);
      const number = visits.add({ visit, served: serve(visit, work, giveUp).then(forget, forget) });
    },
    /** Resolves when the last visit has ended. Never rejects. */
    ended: async (): Promise<void> => {
      await Promise.all(visits.entries().map(([, { served }]) => served));
    },
    /** Destroys the sockets of the visits that have not ended, waits for none, and logs it. */
    force: (): void => {
      if (visits.count() === 0) return;
      log.error(
        { code: 'internal', connections: visits.count() },
        'a bug: connections outlived their session and are destroyed',
      );
      for (const [number, { visit }] of visits.entries()) {
        visit.socket?.destroy();
        visits.remove(number);
      }
    },
  };
}
