import { parseCommandLine } from '../../config/command-line/parse.ts';
import type { OldCommand, UserManager } from '../takeover/old-unit.ts';

/** Something on this machine that keeps ssh tunnels up today. */
export interface Keeper<H extends Hold = Hold> {
  /** As a person knows it: `autossh-home.service`, `/etc/crontab:12`. */
  readonly name: string;
  /** The file that it was read from; null for a process. */
  readonly file: string | null;
  /** None where `why` says why they cannot be known. */
  readonly commands: readonly OldCommand[];
  readonly why: string | null;
  /** Whether it starts by itself when the machine does. */
  readonly enabled: boolean;
  readonly running: boolean;
  readonly hold: H;
}

/** One of a machine with systemd. */
export type LinuxKeeper = Keeper<Exclude<Hold, { readonly type: 'launchd' }>>;

export function isOfLinux(keeper: Keeper): keeper is LinuxKeeper {
  return keeper.hold.type !== 'launchd';
}

/** How it is stopped, started again, and kept from starting. */
export type Hold =
  /** `timer` starts it, too; `user` is whose service manager it belongs to, null for the system's. */
  | { readonly type: 'unit'; readonly unit: string; readonly timer: string | null; readonly user: UserManager | null }
  /** Lines of a file (from 0), of which cron or the boot runs `command` with sh as `user`. */
  | {
      readonly type: 'lines';
      readonly lines: readonly [first: number, last: number];
      /** Their text. */
      readonly text: string;
      readonly user: string;
      readonly command: string;
      readonly environment: Readonly<Record<string, string>>;
    }
  | { readonly type: 'launchd'; readonly label: string; readonly domain: string }
  /** Started by hand, or by something that was not found. */
  | { readonly type: 'process'; readonly pid: number };

/** Whether a command keeps a tunnel, and does not just run something on a server. */
export function isTunnel({ program, args }: Pick<OldCommand, 'program' | 'args'>): boolean {
  const { options, destination } = parseCommandLine(args, []);
  if (destination === null) return false;
  if (options.some(({ key }) => FORWARDS.has(key))) return true;
  // Its forwards may be in ssh_config.
  return program === 'autossh' || args.some((word) => /^-[a-zA-Z]*[Nf]/.test(word));
}

/** What makes two command lines the same tunnel. */
export function signatureOf({ program, args }: Pick<OldCommand, 'program' | 'args'>): string {
  const { options, destination } = parseCommandLine(args, []);
  const forwards = options
    .filter(({ key }) => FORWARDS.has(key))
    .map(({ key, args: words }) => [key, ...words].join(' '));
  return JSON.stringify([program, destination, forwards.toSorted()]);
}

const FORWARDS: ReadonlySet<string> = new Set(['remoteforward', 'localforward', 'dynamicforward']);
