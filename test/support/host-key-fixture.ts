import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startSshd, type SshdOptions, type TestSshd } from './sshd.ts';
import { specFor } from './tunnel.ts';
import { freePort } from './until.ts';

interface Fixture {
  readonly sshd: TestSshd;
  readonly spec: TunnelSpec;
  readonly files: { readonly user: string };
}

/** A server, and a tunnel to it whose known_hosts holds the text (null: does not exist): KEY is its first key, PORT its port. */
export async function serverAndSpec(t: TestContext, text: string | null, options?: SshdOptions): Promise<Fixture> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  const user = join(sshd.dir, 'user_known_hosts');
  if (text !== null) {
    const keys = sshd.hostKeys.map(({ type, publicKey }) => [type.toUpperCase(), publicKey] as const);
    const parts = [['KEY', sshd.hostKeys[0]?.publicKey ?? ''], ['PORT', String(sshd.port)], ...keys] as const;
    const names = new RegExp(parts.map(([name]) => `\\b${name}\\b`).join('|'), 'g');
    writeFileSync(
      user,
      text.replace(names, (name) => parts.find(([known]) => known === name)?.[1] ?? name),
    );
  }
  const spec = specFor(sshd, [[await freePort(), 1]], { userKnownHostsFiles: [user] });
  return { sshd, spec, files: { user } };
}
