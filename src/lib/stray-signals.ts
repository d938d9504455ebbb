/**
 * Signals that end a process by default (signal(7)), though nobody who sends one wants an end: a timer, a device or a program that meant
 * another process. SIGPIPE and SIGXFSZ are ignored by Node.js itself. What a fault raises (SIGSEGV, SIGABRT, SIGTRAP, SIGSYS) and a limit of
 * processor time (SIGXCPU) keep their action; those without a name, the real-time signals, Node.js cannot handle. Names that a system does
 * not have do nothing.
 */
export const STRAY_SIGNALS = ['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGPWR', 'SIGSTKFLT'] as const;

/** From here on none of them ends this process, nor does a SIGHUP: until the daemon takes it for a reload, there is nothing to be read anew. */
export function ignoreStraySignals(): void {
  for (const name of ['SIGHUP', ...STRAY_SIGNALS] as const) process.on(name, () => {});
}
