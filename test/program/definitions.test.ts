import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from '@commander-js/extra-typings';
import { createDefinitions } from '../../src/program/definitions.ts';

test('calls a command with all of its arguments and options, and types them as it was defined', async () => {
  const calls: unknown[] = [];
  const exits: number[] = [];
  const program = new Command('p').option('--config <file>');
  const { run } = createDefinitions(program, [], (code) => exits.push(code));
  const define = (name: string) =>
    program
      .command(name)
      .argument('<must>')
      .argument('[may]')
      .option('--switch')
      .option('--value <text>')
      .option('--no-wait');
  interface Given {
    readonly switch: boolean;
    readonly value: string | null;
    readonly wait: boolean;
  }
  run(define('good'), async () => async (config, must: string, may: string | null, given: Given) => {
    calls.push([config, must, may, given]);
    return 3;
  });
  const alwaysGiven = async (_config: string | null, _must: string, _may: string) => {};
  const number = async (
    _config: string | null,
    _must: string,
    _may: string | null,
    _given: { value: number | null },
  ) => {};
  const other = async (_config: string | null, _must: string, _may: string | null, _given: { force: boolean }) => {};
  // @ts-expect-error An argument that was not given is null.
  run(define('always-given'), async () => alwaysGiven);
  // @ts-expect-error The value is no number.
  run(define('number'), async () => number);
  // @ts-expect-error It has no such option.
  run(define('other'), async () => other);

  await program.parseAsync(['good', 'a'], { from: 'user' });
  await program.parseAsync(['--config', 'f', 'good', 'a', 'b', '--switch', '--value', 'v', '--no-wait'], {
    from: 'user',
  });
  assert.deepEqual(calls, [
    [null, 'a', null, { switch: false, value: null, wait: true }],
    ['f', 'a', 'b', { switch: true, value: 'v', wait: false }],
  ]);
  assert.deepEqual(exits, [3, 3]);
});

test("names the help of the command when an option is not the command's", async () => {
  let said = '';
  const program = new Command('p').exitOverride().configureOutput({ writeErr: (text) => (said += text) });
  createDefinitions(program, [], () => {}).run(program.command('go'), async () => async () => {});
  await assert.rejects(program.parseAsync(['go', '-x'], { from: 'user' }), { code: 'commander.unknownOption' });
  assert.equal(said, "error: unknown option '-x'\n(see p go --help)\n");
});
