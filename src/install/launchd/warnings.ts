import { posix } from 'node:path';
import type { Runner } from '../steps/run-program.ts';
import type { LaunchdService } from './service.ts';

/** What is worth saying about a service that is to be; `files` are what it will read besides its program. */
export function launchdWarnings(service: LaunchdService, files: readonly string[]): readonly string[] {
  const needed = [service.node, service.program, service.config, ...files];
  const guarded = needed.filter((path) => isGuarded(path, service.account.home));
  return [
    ...(service.kind === 'agent' ? AGENT_LIMITS : []),
    ...[...new Set(guarded)].map(
      (path) =>
        `macOS lets no service read ${path} unasked: move it out of this folder, or grant node full disk access`,
    ),
  ];
}

/**
 * Measured and told by others: an agent's connections to the local network fail with "No route to host", and nobody is asked
 * (https://github.com/openclaw/openclaw/issues/24018, https://github.com/kunobi-ninja/kache/issues/798); daemons are exempt
 * (https://eclecticlight.co/2026/01/14/how-local-network-privacy-could-affect-you/, Apple's TN3179).
 */
const AGENT_LIMITS = [
  'an agent runs only while you are logged in at the screen: after a restart of the Mac nothing runs until then',
  'from macOS 15 on an agent is silently cut off from the local network ("No route to host"), so that it reaches servers on the ' +
    'internet and programs on this Mac alone; `sudo tunneld install` has neither limit',
];

/** Whether the disk is locked after a restart, until somebody gives a password: nothing of it runs before (fdesetup(8)). */
export async function hasFileVault(run: Runner): Promise<boolean> {
  const { code, stdout } = await run(['fdesetup', 'status']);
  return code === 0 && /FileVault is On/i.test(stdout);
}

export const FILE_VAULT =
  'FileVault is on: after a restart of this Mac nothing runs, and no tunnel is there, until somebody has unlocked its disk; ' +
  '`sudo fdesetup authrestart` restarts it once without that';

/** Folders that macOS guards from programs that nobody started at the screen (System Settings, Privacy & Security). */
function isGuarded(path: string, home: string): boolean {
  const folders = ['Desktop', 'Documents', 'Downloads', 'Library/Mobile Documents'].map((name) =>
    posix.join(home, name),
  );
  return [...folders, '/Volumes'].some((folder) => path.startsWith(`${folder}/`));
}
