import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { errorText } from '../../lib/text.ts';
import { InstallError } from '../steps/install-error.ts';

/** Who the daemon is to run as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  /** The name of the first of its groups. */
  readonly group: string;
  readonly home: string;
}

interface Caller {
  readonly uid: number;
  readonly userName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The account whose keys are used: that of the person who called sudo, or for an agent, without sudo, whoever calls. */
export function chooseAccount(purpose: 'install' | 'uninstall', kind: 'daemon' | 'agent', caller: Caller): string {
  if (kind === 'agent') {
    if (caller.uid === 0) throw new InstallError('--user means the user who calls it: leave sudo away');
    return caller.userName;
  }
  if (caller.uid !== 0) throw new InstallError(`only root may ${purpose} a service of the system: put sudo in front`);
  const name = caller.env['SUDO_USER'];
  if (name && name !== 'root') return name;
  if (purpose === 'uninstall') return caller.userName; // whose keys they were is no matter then
  throw new InstallError(
    'whose keys are to be used? root is not the one to run a network service as: call `sudo tunneld install` from that account, ' +
      'or from here `env SUDO_USER=NAME tunneld install`',
  );
}

/** What the system knows of an account; works for those of a directory server too, unlike a look into /etc/passwd. */
export async function readAccount(name: string, env: NodeJS.ProcessEnv): Promise<Account> {
  // What begins with a hyphen would be an option of id; and nothing else of this may be in a name on macOS.
  if (!/^[\w.][\w.@-]*$/.test(name)) throw new InstallError(`${JSON.stringify(name)} is no name of an account`);
  const ask = async (option: string) => (await promisify(execFile)('id', [option, name], { env })).stdout.trim();
  try {
    const account = parseAccount(await ask('-P'));
    if (account !== null) return { ...account, group: await ask('-gn') };
  } catch (error) {
    throw new InstallError(`there is no account ${JSON.stringify(name)}: ${errorText(error).trim()}`);
  }
  throw new InstallError(`this system does not tell where the home of ${name} is (id -P ${name})`);
}

/** `id -P` answers a line of master.passwd(5): name:password:uid:gid:class:change:expire:gecos:home:shell. */
function parseAccount(line: string): Omit<Account, 'group'> | null {
  const [name = '', , uid = '', , , , , , home = ''] = line.split(':');
  return name !== '' && /^\d+$/.test(uid) && home.startsWith('/') ? { name, uid: Number(uid), home } : null;
}
