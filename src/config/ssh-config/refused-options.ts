import type { Findings } from '../input/findings.ts';
import type { SshOption } from './option.ts';

/** Reports the options that restrict in a way that this program does not have: to leave them out would open what they close. */
export function reportRefused(options: readonly SshOption[], { problem }: Findings): void {
  for (const { key, args, origin } of options) {
    const message = REFUSED.get(key)?.(args) ?? null;
    if (message !== null) problem({ ...origin, message });
  }
}

/** The options that are refused, in lower case; some only with some values. */
export const REFUSED: ReadonlyMap<string, (args: readonly string[]) => string | null> = new Map([
  ['refuseconnection', (args) => `RefuseConnection: ${args.join(' ')}`],
  [
    'knownhostscommand',
    unlessNone('KnownHostsCommand is never run: write the keys to a file, and name that with UserKnownHostsFile'),
  ],
  [
    'kbdinteractivedevices',
    unlessNone(
      'KbdInteractiveDevices is not supported: write PasswordAuthentication or KbdInteractiveAuthentication no',
    ),
  ],
  [
    'proxyusefdpass',
    (args) =>
      ['yes', 'true'].includes(args[0]?.toLowerCase() ?? '')
        ? 'ProxyUseFdpass is not supported: the command has to pass the data itself'
        : null,
  ],
]);

function unlessNone(message: string): (args: readonly string[]) => string | null {
  return (args) => (args[0]?.toLowerCase() === 'none' ? null : message);
}
