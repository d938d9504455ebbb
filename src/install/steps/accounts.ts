import { InstallError } from './install-error.ts';
import type { Runner } from './run-program.ts';

/** A line of passwd(5). */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
}

/** By its name, or its number. */
export async function accountOf(run: Runner, who: string): Promise<Account | null> {
  const { code, stdout } = await run(['getent', 'passwd', who]);
  if (code === NO_PROGRAM) return await accountOfMac(run, who);
  const [name = '', , uid, gid, comment = '', home = ''] = stdout.trimEnd().split(':');
  return code === 0 && (name === who || uid === who)
    ? { name, uid: Number(uid), gid: Number(gid), comment, home }
    : null;
}

/** The code of a shell, and of our runner. */
const NO_PROGRAM = 127;

/** macOS has no getent; its id(1) prints a line of master.passwd(5). */
async function accountOfMac(run: Runner, who: string): Promise<Account | null> {
  const { code, stdout } = await run(['id', '-P', who]);
  const [name = '', , uid, gid, , , , comment = '', home = ''] = stdout.trimEnd().split(':');
  return code === 0 && name === who ? { name, uid: Number(uid), gid: Number(gid), comment, home } : null;
}

export async function groupNumber(run: Runner, name: string): Promise<number | null> {
  const { code, stdout } = await run(['getent', 'group', name]);
  if (code === NO_PROGRAM) return await groupNumberOfMac(run, name);
  const [found = '', , gid] = stdout.trimEnd().split(':');
  return code === 0 && found === name ? Number(gid) : null;
}

/** dscacheutil(1) answers lines such as `gid: 20`, and nothing for what is not there. */
async function groupNumberOfMac(run: Runner, name: string): Promise<number | null> {
  const { stdout } = await run(['dscacheutil', '-q', 'group', '-a', 'name', name]);
  const gid = /^gid: (\d+)$/m.exec(stdout)?.[1];
  return gid === undefined ? null : Number(gid);
}

/** Refuses an account of our name that is not as the service needs it; null is one that is still to be made. */
export function checkAccount(account: Account | null, group: number | null, home: string): void {
  if (account === null) return;
  const { name } = account;
  if (account.home !== home)
    throw new InstallError(
      `there is a user ${name} with the home ${account.home}, and the service's is ${home}: if nothing else uses it, ` +
        `\`sudo usermod --home ${home} ${name}\` or \`sudo userdel ${name}\`, and run this again`,
    );
  if (account.gid !== group)
    throw new InstallError(
      `the user ${name} has another group than ${name}: \`sudo groupadd --force --system ${name} && sudo usermod --gid ${name} ${name}\`, ` +
        'and run this again',
    );
}

/** By this comment in passwd(5) `uninstall --purge` knows that the user is not somebody else's work. */
export const MADE_BY_US = 'tunneld (made by tunneld install)';
