import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Account, parseAccount } from '../steps/accounts.ts';
import { readOldText } from '../steps/old-text.ts';
import { inheritedVariables } from '../systemd/manager.ts';
import type { Runner } from '../steps/run-program.ts';
import { orElse } from '../../lib/or-else.ts';

/** What is looked at to find what keeps tunnels up. */
export interface OldMachine {
  readonly platform: NodeJS.Platform;
  readonly hostname: string;
  /** The text of a file; null where there is none. Throws where it cannot be read. */
  text(path: string): string | null;
  /** The names in a directory; none where there is none. */
  names(directory: string): readonly string[];
  readonly accounts: readonly Account[];
  readonly processes: readonly OldProcess[];
  /** Names of the variables that the service manager gives to all units. */
  readonly inherited: ReadonlySet<string>;
}

/** A process of this machine; those of containers are none. */
export interface OldProcess {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly argv: readonly string[];
  /** Whether it has a terminal. */
  readonly terminal: boolean;
  /** Its path in the hierarchy of systemd. */
  readonly cgroup: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** This machine, as it is now. Processes are seen on Linux only. */
export async function thisMachine(run: Runner): Promise<OldMachine> {
  return {
    platform: process.platform,
    hostname: hostname(),
    text: readOldText,
    names: (directory) => orElse(() => readdirSync(directory).toSorted(), []),
    accounts: await allAccounts(run),
    processes: process.platform === 'linux' ? allProcesses() : [],
    inherited: await inheritedVariables(run),
  };
}

async function allAccounts(run: Runner): Promise<readonly Account[]> {
  const { stdout } = await run(['getent', 'passwd']);
  return stdout.split('\n').flatMap((line) => {
    const account = parseAccount(line);
    return account === null || account.home === '' ? [] : [account];
  });
}

function allProcesses(): readonly OldProcess[] {
  const own = namespaceOf('self');
  return (
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      // One that has ended, or belongs to another user, cannot be read.
      .flatMap((pid) => orElse(() => (namespaceOf(pid) === own ? [readProcess(pid)] : []), []))
  );
}

function namespaceOf(pid: string): string {
  return readlinkSync(`/proc/${pid}/ns/pid`);
}

/** proc(5). */
function readProcess(pid: string): OldProcess {
  const text = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
  const words = (name: string) =>
    text(name)
      .split('\0')
      .filter((word, at, all) => word !== '' || at < all.length - 1);
  const stat = text('stat');
  const [, parent, , , terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    pid: Number(pid),
    parent: Number(parent),
    uid: Number(/^Uid:\t(\d+)/m.exec(text('status'))?.[1]),
    argv: words('cmdline'),
    terminal: terminal !== '0',
    cgroup: /^(?:0::|1:name=systemd:)(.*)$/m.exec(text('cgroup'))?.[1] ?? '',
    directory: readlinkSync(`/proc/${pid}/cwd`),
    environment: Object.fromEntries(
      words('environ').flatMap((word) =>
        word.includes('=') ? [[word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]] : [],
      ),
    ),
  };
}
