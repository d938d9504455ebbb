import { UserError } from '../../lib/user-error.ts';
import type { Runner } from './run-program.ts';

/** A line of passwd(5). */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
}

/** Looks an account up by name or number; null where it does not exist. */
export async function accountOf(run: Runner, who: string): Promise<Account | null> {
  const { code, stdout } = await run(['getent', 'passwd', who]);
  if (code === NO_PROGRAM) return await accountOfMac(run, who);
  const account = parseAccount(stdout);
  return code === 0 && (account?.name === who || String(account?.uid) === who) ? account : null;
}

/** A line of passwd(5), or of master.passwd(5), which has three fields more in its middle; null for another line. */
export function parseAccount(line: string): Account | null {
  const [name = '', , uid = '', gid, ...more] = line.trimEnd().split(':');
  const [comment = '', home = ''] = more.slice(-3);
  return name === '' || !/^\d+$/.test(uid) ? null : { name, uid: Number(uid), gid: Number(gid), comment, home };
}

/** The exit code of a shell for a missing program, which our runner returns too. */
const NO_PROGRAM = 127;

/** macOS has no getent; its id(1) prints a line of master.passwd(5). */
async function accountOfMac(run: Runner, who: string): Promise<Account | null> {
  const { code, stdout } = await run(['id', '-P', who]);
  const account = parseAccount(stdout);
  return code === 0 && account?.name === who ? account : null;
}

export async function groupNumber(run: Runner, name: string): Promise<number | null> {
  const { code, stdout } = await run(['getent', 'group', name]);
  if (code === NO_PROGRAM) return await groupNumberOfMac(run, name);
  const [found = '', , gid] = stdout.trimEnd().split(':');
  return code === 0 && found === name ? Number(gid) : null;
}

/** dscacheutil(1) prints lines such as `gid: 20`, and nothing for an unknown group. */
async function groupNumberOfMac(run: Runner, name: string): Promise<number | null> {
  const { stdout } = await run(['dscacheutil', '-q', 'group', '-a', 'name', name]);
  const gid = /^gid: (\d+)$/m.exec(stdout)?.[1];
  return gid === undefined ? null : Number(gid);
}

/** Throws where the account cannot be the service's. Null is an account that does not exist yet. */
export function checkAccount(account: Account | null, group: number | null, home: string): void {
  if (account === null) return;
  const { name } = account;
  if (account.home !== home)
    throw new UserError(
      `the user ${name} has the home ${account.home}, but the service needs ${home}: if nothing else uses this user, ` +
        `run \`sudo usermod --home ${home} ${name}\` or \`sudo userdel ${name}\`, then this again`,
    );
  if (account.gid !== group)
    throw new UserError(
      `the primary group of the user ${name} is not ${name}: ` +
        `run \`sudo groupadd --force --system ${name} && sudo usermod --gid ${name} ${name}\`, then this again`,
    );
}

/** The comment in passwd(5) by which `uninstall --purge` knows a user that `install` created. */
export const MADE_BY_US = 'tunneld (made by tunneld install)';
