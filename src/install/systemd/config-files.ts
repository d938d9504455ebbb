import type { Config } from '../../model/config.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { InstallError } from '../steps/install-error.ts';
import { ETC, SERVICE_USER, STATE } from './service-paths.ts';
import type { Step } from '../steps/step.ts';

/** Whose the files are that the configuration names, as far as they lie in the service's own directories and `exists`. */
export function ownershipSteps(config: Config, exists: (path: string) => boolean): readonly Step[] {
  const { secrets, knownHosts } = filesOf(config);
  const steps: Step[] = [];
  const add = (path: string, mode: number, owner: string, group: string) =>
    steps.push({ type: 'file', path, mode, owner, group, content: null });
  for (const path of secrets) {
    if (!exists(path)) continue;
    // systemd hands a copy of it to the service.
    if (path.startsWith(`${ETC}/`)) add(path, 0o600, 'root', 'root');
    else if (path.startsWith(`${STATE}/`)) add(path, 0o600, SERVICE_USER, SERVICE_USER);
  }
  for (const path of knownHosts) {
    if (!exists(path)) continue;
    // Further host keys of the server are written there (updateHostKeys).
    if (path.startsWith(`${STATE}/`)) add(path, 0o600, SERVICE_USER, SERVICE_USER);
    else if (path.startsWith(`${ETC}/`)) add(path, 0o640, 'root', SERVICE_USER);
  }
  // They are root's where root has run the daemon by hand, and then the service could not read them.
  for (const name of ['last-good.yaml', 'source-ports.json', 'listeners.json'])
    if (exists(`${STATE}/${name}`)) add(`${STATE}/${name}`, 0o600, SERVICE_USER, SERVICE_USER);
  return steps;
}

/** Refuses a configuration whose files the service cannot see; the answer is what else is worth saying. */
export function checkFiles(config: Config, exists: (path: string) => boolean): readonly string[] {
  const { secrets, knownHosts } = filesOf(config);
  const hidden = [...secrets, ...knownHosts].filter(
    (path) => exists(path) && /^\/(?:home|root|run\/user)\//.test(path),
  );
  if (hidden.length > 0) {
    const copy = (path: string) =>
      `  ${path}: sudo install -m 600 ${path} ${secrets.includes(path) ? ETC : STATE}/, and name that in ${config.file}`;
    throw new InstallError(
      `the service sees no homes, and its configuration names files there:\n${hidden.map(copy).join('\n')}`,
      78,
    );
  }
  return secrets
    .filter((path) => !exists(path))
    .map((path) => `${path}, which ${config.file} names, does not exist: \`sudo tunneld doctor\` says what that means`);
}

/** The files that a configuration names, each once; keys that ssh tries by itself are no part of it. */
export function filesOf({ tunnels }: Pick<Config, 'tunnels'>): {
  readonly secrets: readonly string[];
  readonly knownHosts: readonly string[];
} {
  const servers: readonly ServerSpec[] = tunnels.flatMap((tunnel) => [tunnel, ...tunnel.jumps]);
  const proxies = tunnels.map(({ entry }) => ('passwordFile' in entry ? entry.passwordFile : null));
  const secrets = servers.flatMap((server) => [
    ...(server.identityFilesConfigured ? server.identityFiles : []),
    server.passphraseFile,
    server.passwordFile,
  ]);
  return {
    secrets: [...new Set([...secrets, ...proxies])].filter((path) => path !== null),
    knownHosts: [...new Set(servers.flatMap(({ userKnownHostsFiles }) => userKnownHostsFiles))],
  };
}
