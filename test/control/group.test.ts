import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startControlServer } from '../../src/control/server.ts';
import { tempDir } from '../support/until.ts';

test('the group may use the socket where systemd made its directory for the service, and nowhere else', async (t) => {
  const dir = await tempDir(t);
  t.after(() => delete process.env['RUNTIME_DIRECTORY']);
  const modeWith = async (runtimeDirectory: string | undefined, socket: string) => {
    if (runtimeDirectory === undefined) delete process.env['RUNTIME_DIRECTORY'];
    else process.env['RUNTIME_DIRECTORY'] = runtimeDirectory;
    const server = await startControlServer(join(dir, socket), {
      handle: () => Promise.resolve(null),
      streamLogs: () => null,
    });
    const mode = statSync(join(dir, socket)).mode & 0o777;
    await server.close();
    return mode;
  };
  // A directory that its group may enter is not enough: it may be a home, whose group has many members.
  mkdirSync(join(dir, 'run'), { mode: 0o750 });
  assert.equal(await modeWith(undefined, 'run/a'), 0o600);
  assert.equal(await modeWith('', 'run/a'), 0o600);
  assert.equal(await modeWith(join(dir, 'run'), 'run/a'), 0o660);
  assert.equal(await modeWith(`${join(dir, 'run')}:/elsewhere`, 'run/a'), 0o660);
  assert.equal(await modeWith(join(dir, 'run'), 'run/below/a'), 0o600);
  assert.equal(await modeWith(join(dir, 'other'), 'run/a'), 0o600);
  assert.equal(await modeWith(dir, 'run/a'), 0o600);
});
