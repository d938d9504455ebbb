import { posix } from 'node:path';
import type { Runner } from '../steps/run-program.ts';
import type { LaunchdService } from './service.ts';

/** Limits of the service to be installed, as sentences. `files` are what it reads besides its program. */
export function launchdWarnings(service: LaunchdService, files: readonly string[]): readonly string[] {
  const needed = [service.node, service.program, service.config, ...files];
  const guarded = needed.filter((path) => isGuarded(path, service.account.home));
  return [
    ...(service.kind === 'agent' ? AGENT_LIMITS : []),
    ...[...new Set(guarded)].map(
      (path) =>
        `${path} is in a folder that macOS protects from services: move it elsewhere, or grant node full disk access`,
    ),
  ];
}

/**
 * As others measured: an agent's connections to the local network fail with "No route to host", without a prompt
 * (https://github.com/openclaw/openclaw/issues/24018, https://github.com/kunobi-ninja/kache/issues/798); daemons are exempt
 * (https://eclecticlight.co/2026/01/14/how-local-network-privacy-could-affect-you/, Apple's TN3179).
 */
const AGENT_LIMITS = [
  'an agent runs only while you are logged in at the screen: after a restart of the Mac it waits for your login',
  'from macOS 15 on an agent cannot reach the local network ("No route to host"), only the internet and this Mac itself; ' +
    '`sudo tunneld install` has neither limit',
];

/** Whether the disk stays locked after a restart until a password is entered; no service runs before that (fdesetup(8)). */
export async function hasFileVault(run: Runner): Promise<boolean> {
  const { code, stdout } = await run(['fdesetup', 'status']);
  return code === 0 && /FileVault is On/i.test(stdout);
}

export const FILE_VAULT =
  'FileVault is on: after a restart of this Mac the tunnels stay down until its disk is unlocked with a password; ' +
  '`sudo fdesetup authrestart` restarts it once without that';

/** Whether macOS protects the folder from background programs (System Settings, Privacy & Security). */
function isGuarded(path: string, home: string): boolean {
  const folders = ['Desktop', 'Documents', 'Downloads', 'Library/Mobile Documents'].map((name) =>
    posix.join(home, name),
  );
  return [...folders, '/Volumes'].some((folder) => path.startsWith(`${folder}/`));
}
