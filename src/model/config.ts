import type { TunnelSpec } from './spec.ts';

/** A configuration as the rest of the program knows it: complete, checked, nothing left to default. */
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
  /** What is worth saying although nothing is wrong, for the log. */
  readonly notes: readonly string[];
  /** What is done as it is written, and was perhaps not meant so. */
  readonly warnings: readonly string[];
  /** Tunnels of which not all can be up, also among the warnings: what runs goes on with them, and `check` refuses them. */
  readonly conflicts: readonly ConfigProblem[];
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * One thing that is wrong in a configuration. Line and column count from 1; a problem with a file as a whole is at 1:1. Line 0 is
 * no file but an argument of the command line, which `file` then is.
 */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Addresses that answer from nearly everywhere. */
export const DEFAULT_PING: readonly string[] = ['8.8.8.8', '1.1.1.1'];
