import { createEmitter } from '../lib/async/emitter.ts';
import type { Logger } from '../lib/log/log.ts';

/** What the daemon has to do without: its socket, its state files, its log. The tunnels run all the same. */
export interface Problems {
  /** `message` is what is wrong with `about`; null means that it works again. */
  report(about: string, message: string | null): void;
  list(): readonly string[];
  /** Calls `listener` after each change. */
  subscribe(listener: () => void): void;
}

/** Each is logged when it begins and when it is over, however often it is reported. */
export function createProblems(log: Pick<Logger, 'warn' | 'info'>): Problems {
  const known = new Map<string, string>();
  const changes = createEmitter();
  return {
    report: (about, message) => {
      const before = known.get(about);
      if (message === (before ?? null)) return;
      if (message === null) known.delete(about);
      else known.set(about, message);
      if (before === undefined) log.warn(message ?? '');
      else if (message === null) log.info(`${about} works again`);
      changes.emit();
    },
    list: () => [...known.values()],
    subscribe: (listener) => void changes.subscribe(listener),
  };
}
