import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ConfigEnvironment } from '../../config/input/environment.ts';
import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { parseAccount } from '../steps/accounts.ts';

/** The account that the daemon runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  /** The name of its primary group. */
  readonly group: string;
  readonly home: string;
}

/** The account whose keys the service uses: for a daemon the one that called sudo, for an agent the calling one. */
export function chooseAccount(
  purpose: 'install' | 'uninstall',
  kind: 'daemon' | 'agent',
  caller: Pick<ConfigEnvironment, 'uid' | 'userName' | 'env'>,
): string {
  if (kind === 'agent') {
    if (caller.uid === 0) throw new UserError('--user installs for the calling user: run it without sudo');
    return caller.userName;
  }
  if (caller.uid !== 0) throw new UserError(`a system service needs root to ${purpose} it: run this with sudo`);
  const name = caller.env['SUDO_USER'];
  if (name && name !== 'root') return name;
  if (purpose === 'uninstall') return caller.userName; // the keys do not matter then
  throw new UserError(
    'the account for the service is unknown, and root is not used for a network service: run `sudo tunneld install` from the account ' +
      'whose keys are to be used, or `env SUDO_USER=NAME tunneld install` as root',
  );
}

/** Looks an account up with id(1), which unlike /etc/passwd knows the accounts of a directory server too. */
export async function readAccount(name: string, env: NodeJS.ProcessEnv): Promise<Account> {
  // A leading hyphen would make it an option of id; the other characters are all that macOS allows in a name.
  if (!/^[\w.][\w.@-]*$/.test(name)) throw new UserError(`${JSON.stringify(name)} is not the name of an account`);
  const ask = async (option: string) => (await promisify(execFile)('id', [option, name], { env })).stdout.trim();
  try {
    const { name: known = name, uid = 0, home = '' } = parseAccount(await ask('-P')) ?? {};
    if (home.startsWith('/')) return { name: known, uid, group: await ask('-gn'), home };
  } catch (error) {
    throw new UserError(`account ${JSON.stringify(name)} not found: ${errorText(error).trim()}`);
  }
  throw new UserError(`the home directory of ${name} is unknown: \`id -P ${name}\` does not print it`);
}
