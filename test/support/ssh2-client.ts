import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import ssh2, { type Client, type ConnectConfig } from '#ssh2';
import type { TestSshd } from './sshd.ts';

/** A client of ssh2's own that has begun to log in. */
export function ssh2Client(t: TestContext, sshd: TestSshd, options: ConnectConfig = {}): Client {
  const client: Client = new ssh2.Client();
  t.after(() => client.destroy());
  // The server may end first.
  client.on('error', () => {});
  client.connect({
    host: '127.0.0.1',
    port: sshd.port,
    username: sshd.user,
    privateKey: readFileSync(sshd.clientKey),
    hostVerifier: () => true,
    ...options,
  });
  return client;
}
