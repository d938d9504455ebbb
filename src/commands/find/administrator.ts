import { adHocConfig } from '../../config/command-line/ad-hoc.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { readJump } from '../../config/schema/jump.ts';
import { BadValue } from '../../config/values/value.ts';
import { accountOf } from '../../install/steps/accounts.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/**
 * The login of an administrator, `[me@]server[:port]`, as ssh would do it in this environment, by default the caller's, with its ssh_config,
 * agent, default keys and known_hosts. Throws a UserError where `destination` names no server; `option` is what gave it.
 */
export async function administrator(
  destination: string,
  environment: ConfigEnvironment | null = null,
  option = '--via',
): Promise<TunnelSpec> {
  const { host, user, port } = readServer(destination, '[me@]server[:port]', `${option} `);
  const login = [...(user === undefined ? [] : ['-l', user]), ...(port === undefined ? [] : ['-p', String(port)])];
  // A command line needs a forward; none is made.
  const { tunnels } = await adHocConfig(
    ['-R', '1:localhost:1', ...login, host],
    'via',
    environment ?? (await callersEnvironment()),
  );
  return { ...tunnels[0]!, forwards: [] };
}

/** A server as an argument names it, in this form. Throws a UserError for anything else; `option` is what stands before it in that. */
export function readServer(text: string, form: string, option = ''): ReturnType<typeof readJump> {
  try {
    if (text.startsWith('-')) throw new BadValue(`must be ${form}`);
    return readJump(text);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw wrongUsage(`${option}${JSON.stringify(text)}: it ${error.message}`);
  }
}

/** The environment of the person who runs this command: with sudo, whose caller's keys and known hosts are in the caller's home directory. */
export async function callersEnvironment(): Promise<ConfigEnvironment> {
  const environment = systemEnvironment();
  const caller = environment.env['SUDO_USER'];
  if (!caller || environment.uid !== 0 || caller === 'root') return environment;
  const account = await accountOf(runProgram, caller);
  return account === null ? environment : { ...environment, home: account.home, userName: account.name };
}
