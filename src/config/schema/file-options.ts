import { DEFAULT_PING, LOG_LEVELS } from '../../model/config.ts';
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
      default: null,
      unset: '$TUNNELD_LOG_FILE, else standard error',
      text: 'log file; at 5 MiB it is renamed to FILE.1',
    },
  },
  control: {
    socket: {
      kind: { type: 'socket' },
      default: null,
      unset: '/run/tunneld/control.sock for root',
      text: 'control socket of the daemon, for `tunneld status` and the other commands',
    },
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Option>>>>;

/** The options outside of sections. */
export const FILE_OPTIONS = {
  stateDirectory: {
    kind: { type: 'path' },
    default: null,
    unset: '/var/lib/tunneld for root',
    text: 'directory for the state of the daemon: known source ports, the last good configuration',
  },
} as const satisfies Readonly<Record<string, Option>>;
