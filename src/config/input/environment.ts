import { homedir, userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { hasAes } from '../../host/processor.ts';
import { orElse } from '../../lib/or-else.ts';

/** What a configuration depends on besides its text. A parameter, so that tests can take the part of any user and system. */
export interface ConfigEnvironment {
  readonly home: string;
  readonly userName: string;
  readonly uid: number;
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether the processor has instructions for AES. */
  readonly aes: boolean;
  /** The directory that relative paths of a command line refer to. */
  readonly directory: string;
}

export function systemEnvironment(): ConfigEnvironment {
  const uid = process.getuid?.() ?? -1;
  return {
    home: homeDirectory(),
    // In a container, and with DynamicUser, the password database may not have the user.
    userName: orElse(() => userInfo().username, process.env['USER'] || String(uid)),
    uid,
    platform: process.platform,
    env: process.env,
    aes: hasAes(),
    // It may have been removed.
    directory: orElse(() => process.cwd(), '/'),
  };
}

/** $HOME, else the password database, else `/`, as for services without a user (systemd.exec(5)). */
function homeDirectory(): string {
  for (const ask of [homedir, () => userInfo().homedir]) {
    // The user may not be in the password database.
    const home = orElse(ask, '');
    if (isAbsolute(home)) return home;
  }
  return '/';
}
