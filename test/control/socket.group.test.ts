import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openControlSocket } from '../../src/control/socket.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { tempDir } from '../support/until.ts';

test('lets the group in when systemd made the directory for the service, and nowhere else', async (t) => {
  const dir = await tempDir(t);
  t.after(() => delete process.env['RUNTIME_DIRECTORY']);
  const modeWith = async (runtimeDirectory: string | undefined, socket: string) => {
    if (runtimeDirectory === undefined) delete process.env['RUNTIME_DIRECTORY'];
    else process.env['RUNTIME_DIRECTORY'] = runtimeDirectory;
    const handlers = { handle: () => Promise.resolve(null), streamLogs: () => null };
    const onProblem = (message: string | null) => assert.equal(message, null);
    const control = await openControlSocket(join(dir, socket), handlers, { clock: systemClock, config: '', onProblem });
    const mode = statSync(join(dir, socket)).mode & 0o777;
    await control.close();
    assert.deepEqual(
      readdirSync(dirname(join(dir, socket))).filter((name) => name.endsWith('a')),
      [],
    );
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
