import { DEFAULT_PING, LOG_LEVELS } from '../../model/config.ts';
import type { Option } from '../../model/options.ts';

/** What the file says besides its tunnels, by its section. */
export const SECTIONS = {
  network: {
    ping: {
      kind: { type: 'hosts' },
      default: DEFAULT_PING,
      text: 'addresses whose answer to a ping tells that there is a network; [] turns that off',
    },
  },
  log: {
    level: { kind: { type: 'words', words: LOG_LEVELS }, default: 'info', text: 'how much to tell' },
    file: {
      kind: { type: 'path' },
      default: null,
      unset: '$TUNNELD_LOG_FILE, else standard error',
      text: 'file for the log; at 5 MiB it becomes FILE.1 and is begun anew',
    },
  },
  control: {
    socket: {
      kind: { type: 'socket' },
      default: null,
      unset: '/run/tunneld/control.sock for root',
      text: 'socket of the daemon for `tunneld status` and the other commands',
    },
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Option>>>>;

/** And without a section. */
export const FILE_OPTIONS = {
  stateDirectory: {
    kind: { type: 'path' },
    default: null,
    unset: '/var/lib/tunneld for root',
    text: 'where the daemon keeps what it has learnt',
  },
} as const satisfies Readonly<Record<string, Option>>;
