import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestSshd } from './sshd.ts';

/** The YAML of one tunnel to a test server, to stand under `tunnels:`. */
export function tunnelYaml(sshd: TestSshd, name: string, forward: string, more = ''): string {
  const knownHosts = join(sshd.dir, 'known_hosts');
  writeFileSync(knownHosts, `${sshd.knownHostsLine('127.0.0.1', sshd.port)}\n`);
  return `  ${name}:
    host: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identityFile: ${sshd.clientKey}
    identitiesOnly: yes
    userKnownHostsFile: ${knownHosts}
    remoteForward: ${forward}
${more}`;
}
