import { homedir, userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { hasAes } from '../../host/processor.ts';

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
    userName: currentUser(uid),
    uid,
    platform: process.platform,
    env: process.env,
    aes: hasAes(),
    directory: workingDirectory(),
  };
}

/** $HOME, else the password database, else `/`, as for services without a user (systemd.exec(5)). */
function homeDirectory(): string {
  for (const ask of [homedir, () => userInfo().homedir]) {
    try {
      const home = ask();
      if (isAbsolute(home)) return home;
    } catch {
      // the user is not in the password database
    }
  }
  return '/';
}

/** `/` where the working directory was removed. */
function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}

/** $USER, else the number, where the user is not in the password database (a container, DynamicUser). */
function currentUser(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return process.env['USER'] || String(uid);
  }
}
