import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { confirmUninstall } from '../../../src/commands/service/uninstall-question.ts';
import { separately } from '../../support/separately.ts';

const question = separately('src/commands/service/uninstall-question.ts');
const base = { purge: false, yes: false, config: null, client: null };

test('asks when the caller came through a tunnel, and everybody when keys are to be deleted', async () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []);
  for (const client of ['127.0.0.1', '::1', ...own])
    await assert.rejects(
      confirmUninstall({ ...base, client }),
      /you came from .*, which is this device: .* no other way in.*confirm it with --yes/s,
    );
  await assert.rejects(
    confirmUninstall({ ...base, purge: true }),
    /keys and state of all tunnels will be deleted for good/,
  );
  await confirmUninstall({ ...base, client: '192.0.2.7' });
  await confirmUninstall(base);
  await confirmUninstall({ ...base, purge: true, client: '127.0.0.1', yes: true });
});

test('finds where a login came from when sudo has removed its variables', () => {
  const ask = `import(${JSON.stringify(question.url)}).then(({ clientOfLogin }) => console.log(clientOfLogin()))`;
  const node = [...question.node, '-e', `'${ask}'`].join(' ');
  const options = {
    env: { ...process.env, SSH_CONNECTION: '192.0.2.7 50000 192.0.2.1 22' },
    encoding: 'utf8',
  } as const;
  assert.equal(execFileSync('sh', ['-c', `env -u SSH_CONNECTION ${node}; true`], options), '192.0.2.7\n');
});
