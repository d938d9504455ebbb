import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from 'ssh2';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { createRequests } from '../../../src/connection/ssh2/requests.ts';

type Answer = (error?: Error, port?: number) => void;

/** A client of which only the questions are looked at; they wait for the test's answers in their order. */
function fakeClient() {
  const waiting: Answer[] = [];
  const ask = (_host: string, _port: number, answer: Answer) => void waiting.push(answer);
  const client = { forwardIn: ask, unforwardIn: ask, _callbacks: waiting, _protocol: { ping: () => {} } };
  return { client: client as unknown as Client, waiting };
}

const listener = { type: 'tcp', host: '', port: 8080 } as const;
const lost = new TunnelFailure('keepalive-lost', 'gone');

test('returns answers and refusals in the order of the requests', async () => {
  const { client, waiting } = fakeClient();
  const requests = createRequests(client);
  const granted = requests.listen(listener);
  const refused = requests.listen(listener);
  const probed = requests.ping();
  waiting[0]?.(undefined, 8080);
  waiting[1]?.(new Error('Unable to bind'));
  waiting[2]?.(new Error('Unable to unbind'));
  assert.equal(await granted, 8080);
  await assert.rejects(refused, { code: 'forward-refused', message: 'the server refused to listen on *:8080' });
  await probed;
});

test('fails all that wait, and all that come later, when the connection ends', async () => {
  const { client, waiting } = fakeClient();
  const requests = createRequests(client);
  const answered = requests.listen(listener);
  waiting[0]?.(undefined, 8080);
  const open = [requests.listen(listener), requests.unlisten(listener), requests.ping()];
  requests.fail(lost);
  requests.fail(new TunnelFailure('disconnected', 'too late'));
  for (const question of [...open, requests.ping()]) await assert.rejects(question, lost);
  assert.equal(await answered, 8080);
  assert.equal(waiting.length, 4, 'nothing is sent after the end');
});

test('takes a client for a lost connection when it is not connected', async () => {
  const throws = () => {
    throw new Error('Not connected');
  };
  const requests = createRequests({ forwardIn: throws, unforwardIn: throws } as unknown as Client);
  await assert.rejects(requests.listen(listener), { code: 'disconnected', message: 'Not connected' });
});
