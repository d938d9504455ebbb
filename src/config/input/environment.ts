import { homedir, userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { hasAes } from '../../host/processor.ts';

/** What the reading of a configuration depends on besides its text; a parameter, so that tests can be anybody on any system. */
export interface ConfigEnvironment {
  readonly home: string;
  readonly userName: string;
  readonly uid: number;
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether the processor has instructions for AES. */
  readonly aes: boolean;
  /** Where relative paths of a command line begin. */
  readonly directory: string;
}

/** The environment of this process. */
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

/** $HOME, or what the password database says; where neither does, the root, as for services without a user (systemd.exec(5)). */
function homeDirectory(): string {
  for (const ask of [homedir, () => userInfo().homedir]) {
    try {
      const home = ask();
      if (isAbsolute(home)) return home;
    } catch {
      // there is no line for this user
    }
  }
  return '/';
}

/** The root where the directory that this process was started in is gone. */
function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}

/** A user without a line in the password database (a container, DynamicUser) still has a number, and perhaps $USER. */
function currentUser(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return process.env['USER'] || String(uid);
  }
}
