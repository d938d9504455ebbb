import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld } from '../../support/server-world.ts';
import { printed, runScript, untilListening, USER } from './fixture.ts';

const KEYS = `/etc/ssh/authorized_keys.d/${USER}`;

test('changes a key by way of both, and removes the old one when only the new one is left', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  const newer = join(world.dir, 'newer');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'newer', '-f', newer]);
  const run = async (...identityFiles: string[]) => {
    const script = await printed(world, ['server-setup'], `remoteForward: 8080:localhost:22`, USER, identityFiles);
    const ran = runScript(world, script);
    await untilListening(world);
    return ran;
  };
  assert.equal((await run(world.key)).code, 0);
  const [options] = world.read(KEYS)!.split(' ', 1);

  // Only the new one: what lets the running tunnel in is not taken away.
  const tooEarly = await run(newer);
  assert.equal(tooEarly.code, 1);
  assert.match(
    tooEarly.stderr,
    /is set up for other keys[^]*list both, the new one first \(identityFile: \[NEW, OLD\]\)/,
  );

  assert.equal((await run(newer, world.key)).code, 0);
  const lines = world.read(KEYS)!.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(' ', 1)[0]),
    [options, options],
  );
  assert.match(lines[0]!, / newer(?: host-key:\d+=SHA256:\S+)?$/);
  assert.match((await run(newer, world.key)).stdout, /nothing was changed/);

  // A key that cannot be read here, or is not there any more, is no reason to take its line away.
  const blind = await run(newer, join(world.dir, 'missing'));
  assert.match(
    blind.stdout,
    /kept, because not every key of the tunnel could be read where this script was generated: 256 SHA256:/,
  );
  assert.equal(world.read(KEYS)!.trimEnd().split('\n').length, 2);

  const last = await run(newer);
  assert.equal(last.code, 0, last.stderr);
  assert.match(last.stdout, /removed, because the tunnel no longer has it.*: 256 SHA256:.* it's a key/);
  assert.match(world.read(KEYS)!, /^restrict\S* ssh-ed25519 \S+ newer(?: host-key:\d+=SHA256:\S+)?\n$/);
});
