import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readLoginKeys, requirePlainKeys } from '../../src/setup/login-keys.ts';
import { makeKey, publicLine, specFor } from '../support/login.ts';
import { fakeClock } from '../support/clock.ts';
import { tempDir } from '../support/until.ts';

test('takes the authority of each certificate of a tunnel, and its key where it has none', async (t) => {
  const dir = await tempDir(t);
  const [ca, key, other] = ['ca', 'key', 'other'].map((name) => makeKey(dir, name, '-t', 'ed25519')) as [
    string,
    string,
    string,
  ];
  const certify = (names: string, ...options: readonly string[]) =>
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'device 7', '-n', names, ...options, `${key}.pub`]);
  const clock = fakeClock(Date.now());
  const spec = specFor({ identityFiles: [key, other] });
  const read = (changes: Partial<typeof spec> = {}) => readLoginKeys({ ...spec, ...changes }, clock);
  const [type, base64] = publicLine(ca).split(' ');

  const plain = await read();
  assert.deepEqual(
    plain.keys.map(({ certificates = [] }) => certificates.length),
    [0, 0],
  );
  await requirePlainKeys(spec, 'rekey');

  certify('device-7,limited');
  const { keys, unread } = await read();
  assert.deepEqual(unread, []);
  assert.deepEqual(keys[0].certificates?.[0]?.authority, { type, base64 });
  // Its own name is all that has to be asked for.
  assert.deepEqual(keys[0].certificates?.[0]?.principals, ['limited']);
  assert.equal(keys[1]?.certificates, undefined);
  await assert.rejects(
    requirePlainKeys(spec, 'rekey'),
    /logs in by the certificate .*key-cert\.pub, and rekey makes a/,
  );

  certify('device-7,"quoted",a b,admin');
  assert.deepEqual((await read()).keys[0].certificates?.[0]?.principals, ['device-7', 'admin']);

  // The private key is in hardware, behind an agent.
  const moved = join(dir, 'named-cert.pub');
  renameSync(`${key}-cert.pub`, moved);
  const inAgent = { identityFiles: [], certificateFiles: [moved], identityAgent: join(dir, 'agent.sock') };
  const [held] = (await read(inAgent)).keys;
  assert.deepEqual([held.base64, held.comment], [publicLine(key).split(' ')[1], 'device 7']);
  await assert.rejects(read({ ...inAgent, identityAgent: null }), /no identityFile/);
  // The server may have lines for keys that are named, and cannot be read here.
  const none = { ...inAgent, identityFiles: [join(dir, 'gone')], identityFilesConfigured: true };
  assert.match((await read(none)).unread.join(), /no key of the tunnel can be read: .*gone does not exist/);

  // What is configured has to be there; what is only found is left out, with the reason.
  await assert.rejects(read({ certificateFiles: [join(dir, 'none')] }), /none does not exist; the server is to trust/);
  writeFileSync(`${key}-cert.pub`, 'no certificate');
  const damaged = await read();
  assert.equal(damaged.keys[0].certificates, undefined);
  assert.match(damaged.unread.join(), /key-cert\.pub is no OpenSSH certificate/);
});
