import type { Config } from '../../model/config.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { certificateFiles } from '../../connection/auth/certificate-file.ts';
import { secretFiles } from '../../connection/auth/exposed-secrets.ts';
import { UserError } from '../../lib/user-error.ts';
import { ETC, SERVICE_USER, STATE } from './service-paths.ts';
import type { Step } from '../steps/step.ts';
import { EXIT } from '../../lib/exit-code.ts';

/** Sets owner and mode of the files that the configuration names, where they are in the service's directories and exist. */
export function ownershipSteps(config: Config, exists: (path: string) => boolean): readonly Step[] {
  const { secrets, knownHosts, certificates } = filesOf(config);
  const steps: Step[] = [];
  const add = (path: string, mode: number, owner: string, group: string) =>
    steps.push({ type: 'file', path, mode, owner, group, content: null });
  for (const path of secrets) {
    if (!exists(path)) continue;
    // The service gets a copy of it as a credential.
    if (path.startsWith(`${ETC}/`)) add(path, 0o600, 'root', 'root');
    else if (path.startsWith(`${STATE}/`)) add(path, 0o600, SERVICE_USER, SERVICE_USER);
  }
  for (const path of knownHosts) {
    if (!exists(path)) continue;
    // The service writes further host keys of the server there (updateHostKeys).
    if (path.startsWith(`${STATE}/`)) add(path, 0o600, SERVICE_USER, SERVICE_USER);
    else if (path.startsWith(`${ETC}/`)) add(path, 0o640, 'root', SERVICE_USER);
  }
  // They are no secrets, and what the service can read it takes from there, not from its copies: a renewed one counts at the next login.
  for (const path of certificates) if (exists(path) && path.startsWith(`${ETC}/`)) add(path, 0o644, 'root', 'root');
  // They belong to root where root has run the daemon by hand.
  for (const name of ['last-good.yaml', 'source-ports.json', 'listeners.json'])
    if (exists(`${STATE}/${name}`)) add(`${STATE}/${name}`, 0o600, SERVICE_USER, SERVICE_USER);
  return steps;
}

/** Throws where the configuration names files that the service cannot see. Returns notes on files that do not exist. */
export function checkFiles(config: Config, exists: (path: string) => boolean): readonly string[] {
  const { secrets, knownHosts, certificates } = filesOf(config);
  const hidden = [...secrets, ...knownHosts, ...certificates].filter(
    (path) => exists(path) && /^\/(?:home|root|run\/user)\//.test(path),
  );
  if (hidden.length > 0) {
    const copy = (path: string) => {
      const mode = certificates.includes(path) ? '644' : '600';
      const folder = knownHosts.includes(path) ? STATE : ETC;
      return `  ${path}: copy it (sudo install -m ${mode} ${path} ${folder}/), and name the copy in ${config.file}`;
    };
    throw new UserError(
      `the configuration names files in home directories, which the service cannot see:\n${hidden.map(copy).join('\n')}`,
      EXIT.config,
    );
  }
  return secrets
    .filter((path) => !exists(path))
    .map((path) => `${path}, named in ${config.file}, does not exist: see \`sudo tunneld doctor\``);
}

/** The files that a configuration names, each once. Keys that ssh tries by default are left out. */
export function filesOf({ tunnels }: Pick<Config, 'tunnels'>): {
  readonly secrets: readonly string[];
  readonly knownHosts: readonly string[];
  readonly certificates: readonly string[];
} {
  const servers: readonly ServerSpec[] = tunnels.flatMap((tunnel) => [tunnel, ...tunnel.jumps]);
  const configuredKeys = ({ identityFilesConfigured, identityFiles }: ServerSpec) =>
    identityFilesConfigured ? identityFiles : [];
  return {
    secrets: secretFiles(tunnels, configuredKeys),
    knownHosts: [...new Set(servers.flatMap(({ userKnownHostsFiles }) => userKnownHostsFiles))],
    certificates: [...new Set(servers.filter(usesCertificates).flatMap(certificateFiles))],
  };
}

/** Those beside keys that ssh tries by default are left out, as these keys are. */
function usesCertificates({ certificateFiles: named, identityFilesConfigured }: ServerSpec): boolean {
  return named.length > 0 || identityFilesConfigured;
}
