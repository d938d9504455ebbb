import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { devicesOf } from '../../../src/commands/setup/devices-of.ts';
import { EXIT } from '../../../src/lib/exit-code.ts';
import { tempDir } from '../../support/until.ts';

test('says what is missing when the directory, its devices or the tunnel are not there', async (t) => {
  const dir = await tempDir(t);
  const of = (directory: string, name: string | null = null) => devicesOf(directory, { name, jump: false });
  await assert.rejects(of(join(dir, 'none')), /--from \S+none: there is no such directory$/);
  const file = join(dir, 'file');
  writeFileSync(file, '');
  await assert.rejects(of(file), /--from \S+file: there is no such directory$/);
  await assert.rejects(of(dir, 'relay'), /has no device: each is a directory with its config\.yaml/);
  mkdirSync(join(dir, 'pi01'));
  writeFileSync(join(dir, 'pi01/config.yaml'), 'tunnels: { relay: { host: h, user: u, remoteForward: 8080:a:1 } }\n');
  await assert.rejects(of(dir, 'rely'), {
    message: `no device of ${dir} has a tunnel "rely"`,
    exit: EXIT.noSuchTunnel,
  });
});
