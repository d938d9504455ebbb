import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askFor, NoTerminalError } from '../../../src/commands/text/prompt.ts';
import { UserError } from '../../../src/lib/user-error.ts';

test('asks again where an answer cannot be read, a few times, and passes on what is no answer at all', async () => {
  const asked: (string | null)[] = [];
  const person = (...answers: string[]) =>
    async function ask(_question: string, fallback: string | null) {
      asked.push(fallback);
      return await Promise.resolve(answers.shift() ?? fallback!);
    };
  const even = (text: string) => {
    if (Number(text) % 2 !== 0) throw new UserError(`${text} is not even`);
    return Number(text);
  };
  assert.equal(await askFor(person('1', 'x', '4'), 'An even number', '2', even), 4);
  assert.deepEqual(asked.splice(0), ['2', '2', '2']);
  await assert.rejects(askFor(person(), 'An even number', '3', even), { message: '3 is not even' });
  assert.equal(asked.splice(0).length, 5);
  const broken = () => {
    throw new TypeError('a mistake of the program');
  };
  await assert.rejects(askFor(person('1'), 'Any', null, broken), TypeError);
  const nobody = () => Promise.reject(new NoTerminalError(null, 'use --name'));
  await assert.rejects(askFor(nobody, 'Any', null, even), /there is no terminal to ask on: use --name/);
  assert.equal(asked.length, 1);
});
