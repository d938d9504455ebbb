import type { TunnelSpec } from './spec.ts';

/** A complete and checked configuration, with nothing left to default. */
export interface Config {
  /** The absolute path of the file it came from, or the command line. */
  readonly file: string;
  /** At least one, in the order of the file. */
  readonly tunnels: readonly TunnelSpec[];
  /** Addresses whose answer to a ping hints that the network is there; empty turns the hints off. */
  readonly network: { readonly ping: readonly string[] };
  readonly log: { readonly level: LogLevel; readonly file: string | null };
  readonly control: { readonly socket: string };
  readonly stateDirectory: string;
  /** Worth a line in the log although nothing is wrong. */
  readonly notes: readonly string[];
  /** Done as written, though it may be a mistake. */
  readonly warnings: readonly string[];
  /** Tunnels that cannot all be up, also among the warnings: the daemon runs with them, and `check` refuses them. */
  readonly conflicts: readonly ConfigProblem[];
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * One problem in a configuration. Line and column count from 1; a problem with the whole file is at 1:1. Line 0 is an
 * argument of the command line, which `file` then is.
 */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Addresses that answer from nearly everywhere. */
export const DEFAULT_PING: readonly string[] = ['8.8.8.8', '1.1.1.1'];
