import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConfigEnvironment } from '../../config/input/environment.ts';
import { chooseAccount, readAccount } from '../../install/launchd/account.ts';
import { launchdService, type LaunchdService, serviceEnvironment } from '../../install/launchd/service.ts';
import { stablePath } from '../../install/launchd/stable-path.ts';
import { findConfig } from '../find/config-file.ts';
import { orElse } from '../../lib/or-else.ts';

/** The service that the caller asks for: a daemon with sudo, or an agent with --user. Rejects with a UserError. */
export async function requestedService(
  purpose: 'install' | 'uninstall',
  config: string | null,
  user: boolean,
  caller: ConfigEnvironment,
): Promise<LaunchdService> {
  const kind = user ? 'agent' : 'daemon';
  const account = await readAccount(chooseAccount(purpose, kind, caller), process.env);
  const wanted = {
    kind,
    account,
    node: stablePath(process.execPath, (path) => orElse(() => realpathSync(path), null)),
    program: resolve(process.argv[1]!),
  } as const;
  const unnamed = launchdService({ ...wanted, config: '' });
  return { ...unnamed, config: resolve(await findConfig(config, daemonEnvironment(unnamed, caller))) };
}

/** The environment in which the daemon will read its configuration. */
export function daemonEnvironment(service: LaunchdService, caller: ConfigEnvironment): ConfigEnvironment {
  const { home, name: userName, uid } = service.account;
  return { ...caller, home, userName, uid, env: serviceEnvironment(service), directory: '/' };
}
