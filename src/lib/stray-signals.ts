/**
 * Signals that end a process by default (signal(7)), though their sender hardly wants that: a timer, a device, or a
 * program that meant another process. Node.js itself ignores SIGPIPE and SIGXFSZ. Signals of a fault (SIGSEGV, SIGABRT,
 * SIGTRAP, SIGSYS) and of a processor time limit (SIGXCPU) keep their action; Node.js cannot handle real-time signals,
 * which have no name. Names that a system lacks have no effect.
 */
export const STRAY_SIGNALS = ['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGPWR', 'SIGSTKFLT'] as const;

/**
 * From here on none of them ends this process, nor does a SIGHUP: until the daemon takes it for a reload, there is
 * nothing to reload.
 */
export function ignoreStraySignals(): void {
  for (const name of ['SIGHUP', ...STRAY_SIGNALS] as const) process.on(name, () => {});
}
