import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import type { ClientChannel } from '#ssh2';
import { reuseNumbers } from '../../../../src/connection/ssh2/protocol/channel-numbers.ts';
import { internalsOf } from '../../../../src/connection/ssh2/protocol/internals.ts';
import { startEcho } from '../../../support/echo.ts';
import { ssh2Client } from '../../../support/ssh2-client.ts';
import { startSshd } from '../../../support/sshd.ts';
import { freePort } from '../../../support/until.ts';

test('uses the number of a closed channel again, and that of one that was refused', async (t) => {
  const { client, open } = await connected(t);
  const [first, second] = [await open(), await open()];
  assert.deepEqual([numberOf(first), numberOf(second)], [0, 1]);
  await closed(first);
  const again = await open();
  assert.equal(numberOf(again), 0);
  assert.equal(await echoed(again), 'hello');
  const nobody = await freePort();
  await assert.rejects(open(nobody), /open failure/i);
  assert.equal(numberOf(await open()), 2);
  assert.equal(await echoed(second), 'hello');
  for (let i = 0; i < 30; i++) await closed(await open());
  assert.equal(internalsOf(client)._chanMgr._cur, 3);
});

test('closes all channels with the connection, and fails what is not open yet', async (t) => {
  const { client, open } = await connected(t);
  const channels = [await open(), await open(), await open()];
  await closed(channels[1]!);
  const over = [channels[0]!, channels[2]!].map((channel) => once(channel.resume(), 'close'));
  const opening = assert.rejects(open());
  client.destroy();
  await Promise.all(over);
  await opening;
});

async function connected(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const client = ssh2Client(t, sshd);
  reuseNumbers(client);
  await once(client, 'ready');
  const open = (port = echo.port) =>
    new Promise<ClientChannel>((resolve, reject) =>
      client.forwardOut('127.0.0.1', 1, '127.0.0.1', port, (error, channel) =>
        error === undefined ? resolve(channel) : reject(error),
      ),
    );
  return { client, open };
}

function numberOf(channel: ClientChannel): number {
  return (channel as unknown as { readonly incoming: { readonly id: number } }).incoming.id;
}

async function echoed(channel: ClientChannel): Promise<string> {
  channel.write('hello');
  const [data] = (await once(channel, 'data')) as [Buffer];
  return String(data);
}

async function closed(channel: ClientChannel): Promise<void> {
  const over = once(channel.resume(), 'close');
  channel.end();
  await over;
}
