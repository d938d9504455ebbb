import { DEFAULT_PING, LOG_LEVELS, UNOBSERVED } from '../../model/config.ts';
import type { Option } from '../../model/options.ts';

/** The options of the file besides tunnels, by section. */
export const SECTIONS = {
  network: {
    ping: {
      kind: { type: 'hosts' },
      default: DEFAULT_PING,
      text: 'addresses to ping, to detect that the network is up; [] turns that off',
    },
  },
  log: {
    level: { kind: { type: 'words', words: LOG_LEVELS }, default: 'info', text: 'least severe level that is logged' },
    file: {
      kind: { type: 'path' },
      unset: '$TUNNELD_LOG_FILE, else standard error',
      text: 'log file; at 5 MiB it is renamed to FILE.1',
    },
  },
  control: {
    socket: {
      kind: { type: 'socket' },
      unset: '/run/tunneld/control.sock for root',
      text: 'control socket of the daemon, for `tunneld status` and the other commands',
    },
  },
  metrics: {
    listen: {
      kind: { type: 'http-listener' },
      unset: 'not served',
      text: 'where to serve metrics, health and a page: an address and port, or the path of a Unix socket',
    },
    tokenFile: {
      kind: { type: 'path' },
      text: 'file with the token that clients need, made where it is missing; needed where others than this device can connect',
    },
  },
  heartbeat: {
    url: {
      kind: { type: 'url' },
      text: 'URL to fetch again and again while every tunnel is up and verified',
    },
    every: {
      kind: { type: 'duration', min: 10 },
      field: 'everyMs',
      default: UNOBSERVED.heartbeat.everyMs,
      text: 'how often to fetch it',
    },
  },
  onChange: {
    command: {
      kind: { type: 'arguments' },
      text: 'program to run when the state of a tunnel has changed',
    },
    after: {
      kind: { type: 'duration', min: 0 },
      field: 'afterMs',
      default: UNOBSERVED.onChange.afterMs,
      text: 'for how long a change must have lasted',
    },
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Option>>>>;

/** The options outside of sections. */
export const FILE_OPTIONS = {
  stateDirectory: {
    kind: { type: 'path' },
    unset: '/var/lib/tunneld for root',
    text: 'directory for the state of the daemon: known source ports, the last good configuration',
  },
} as const satisfies Readonly<Record<string, Option>>;
