import type { Endpoint } from './endpoint.ts';
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
  readonly metrics: MetricsConfig;
  readonly heartbeat: HeartbeatConfig;
  readonly onChange: OnChangeConfig;
  readonly stateDirectory: string;
  /** Worth a line in the log although nothing is wrong. */
  readonly notes: readonly string[];
  /** Done as written, though it may be a mistake. */
  readonly warnings: readonly string[];
  /** Tunnels that cannot all be up, also among the warnings: the daemon runs with them, and `check` refuses them. */
  readonly conflicts: readonly ConfigProblem[];
}

/** Where metrics, health and the page are served; null for nowhere. */
export interface MetricsConfig {
  readonly listen: Endpoint | null;
  readonly tokenFile: string | null;
}

/** What is fetched while all is well; null for nothing. */
export interface HeartbeatConfig {
  readonly url: string | null;
  readonly everyMs: number;
}

/** What runs when a change has lasted; null for nothing. */
export interface OnChangeConfig {
  readonly command: readonly string[] | null;
  readonly afterMs: number;
}

/** None of that. */
export const UNOBSERVED: Pick<Config, 'metrics' | 'heartbeat' | 'onChange'> = {
  metrics: { listen: null, tokenFile: null },
  heartbeat: { url: null, everyMs: 60_000 },
  onChange: { command: null, afterMs: 60_000 },
};

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
