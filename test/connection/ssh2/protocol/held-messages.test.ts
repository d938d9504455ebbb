import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Client } from 'ssh2';
import { deferred } from '../../../../src/lib/async/abort.ts';
import { holdMessages } from '../../../../src/connection/ssh2/protocol/held-messages.ts';
import { valveOf } from '../../../../src/net/streams/valve.ts';
import { until } from '../../../support/until.ts';

// A parser that reads letters as ssh2 reads packets: what `on` answers with false ends its work on what it has read.
function startParser(t: TestContext, on: (letter: string) => unknown) {
  const read: string[] = [];
  const errors: string[] = [];
  const wire = new PassThrough();
  t.after(() => wire.destroy());
  const protocol = {
    parse(chunk: Buffer, from: number, to: number) {
      for (let at = from; at < to;) at = this._parse(chunk, at, to);
    },
    _parse: (chunk: Buffer, from: number, to: number) => {
      for (let at = from; at < to; at++) {
        const letter = String.fromCharCode(chunk[at]!);
        read.push(letter);
        if (on(letter) === false) return at + 1;
      }
      return to;
    },
  };
  wire.on('data', (chunk: Buffer) => protocol.parse(chunk, 0, chunk.length));
  const hold = holdMessages({ _protocol: protocol } as unknown as Client, valveOf(wire), (error) =>
    errors.push(error.message),
  );
  return { wire, read, errors, hold, text: () => read.join('') };
}

test('holds messages in their order while work goes on, and reads no more meanwhile', async (t) => {
  const works = [deferred<string>(), deferred<string>()];
  const left = [...works];
  const parser = startParser(t, (letter) =>
    letter === '!' ? parser.hold(left.shift()!.promise, (result) => parser.read.push(result)) : undefined,
  );
  const { wire, text } = parser;
  wire.write('ab!cd!ef');
  await until(() => text() === 'ab!', { what: text });
  for (let piece = 0; piece < 100; piece++) wire.write(Buffer.alloc(10_000, 'x'));
  await turn();
  assert.deepEqual([text(), wire.isPaused(), wire.readableLength < 100_000], ['ab!', true, true]);
  works[0]!.resolve('<1>');
  await until(() => text() === 'ab!<1>cd!', { what: text });
  assert.equal(wire.isPaused(), true);
  works[1]!.resolve('<2>');
  await until(() => text().length === 'ab!<1>cd!<2>ef'.length + 1_000_000, { what: () => String(text().length) });
  assert.match(text(), /^ab!<1>cd!<2>efx+$/);
  assert.deepEqual(parser.errors, []);
});

test('reports an error of the work or of a held message, and calls nothing when the connection has ended', async (t) => {
  const failing = startParser(t, (letter) =>
    letter === '!' ? failing.hold(Promise.reject(new Error('no group')), () => failing.read.push('never')) : undefined,
  );
  failing.wire.write('!a');
  await until(() => failing.errors.length > 0, { what: 'the error' });
  assert.deepEqual([failing.errors, failing.text()], [['no group'], '!']);

  const throwing = startParser(t, (letter) => {
    if (letter === '?') throw new Error('what waited');
    return letter === '!' ? throwing.hold(Promise.resolve(), () => {}) : undefined;
  });
  throwing.wire.write('!a?b');
  await until(() => throwing.errors.length > 0, { what: 'the error' });
  assert.deepEqual([throwing.errors, throwing.text()], [['what waited'], '!a?']);

  const work = deferred<void>();
  const ended = startParser(t, (letter) =>
    letter === '!' ? ended.hold(work.promise, () => ended.read.push('never')) : undefined,
  );
  ended.wire.write('!a');
  await until(() => ended.text() === '!', { what: ended.text });
  ended.wire.destroy();
  work.resolve();
  await turn();
  assert.deepEqual([ended.errors, ended.text()], [[], '!']);
});
