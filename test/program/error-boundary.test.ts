import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { separately } from '../support/separately.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const boundary = separately('src/program/error-boundary.ts');
const MODULES = [
  boundary,
  separately('src/lib/user-error.ts'),
  separately('src/config/input/problem.ts'),
  separately('src/model/failure.ts'),
];

/** What the boundary makes of an error, an expression over the classes of errors. */
function end(error: string, env: NodeJS.ProcessEnv = {}): { readonly code: number | null; readonly stderr: string } {
  const script = `
    const [{ exitCodeOf }, { UserError }, { ConfigError }, { TunnelFailure }, { readFileSync }] = await Promise.all(
      ${JSON.stringify([...MODULES.map(({ url }) => url), 'node:fs'])}.map((name) => import(name)));
    const caught = (work) => { try { work(); } catch (error) { return error; } };
    process.exitCode = exitCodeOf(${error});`;
  const options = { encoding: 'utf8', cwd: root, env: { ...process.env, ...env } } as const;
  const [program, ...flags] = boundary.node;
  const { status, stderr } = spawnSync(program!, [...flags, '--input-type=module', '-e', script], options);
  return { code: status, stderr };
}

test('prints an error of the user with its message, and ends with its exit code', () => {
  assert.deepEqual(end(`new UserError('socket X: permission denied\\nuse sudo \\u001b[2J', 3)`), {
    code: 3,
    stderr: 'tunneld: socket X: permission denied\n  use sudo \\x1b[2J\n',
  });
});

test('prints problems of a configuration as compilers do, and ends with wrong usage when they are of a command line', () => {
  const problem = (line: number) => `{ file: 'a.yaml', line: ${line}, column: 2, message: 'is wrong' }`;
  assert.deepEqual(end(`new ConfigError([${problem(1)}, ${problem(3)}])`), {
    code: 78,
    stderr: 'a.yaml:1:2: is wrong\na.yaml:3:2: is wrong\n',
  });
  assert.deepEqual(end(`new ConfigError([${problem(0)}])`), { code: 2, stderr: 'tunneld: a.yaml: is wrong\n' });
});

test('prints what to do when a connection failed', () => {
  const { code, stderr } = end(`new TunnelFailure('dns-failed', 'cannot resolve x', { hint: 'Check host.' })`);
  assert.deepEqual([code, stderr], [1, 'tunneld: cannot resolve x. Check host.\n']);
});

test('prints an error of the system as the system says it', () => {
  assert.deepEqual(end(`caught(() => readFileSync('/nowhere/x'))`), {
    code: 1,
    stderr: "tunneld: ENOENT: no such file or directory, open '/nowhere/x'\n",
  });
});

test('prints one line that says where to report it when there is a bug, with its stack only when asked for', () => {
  const { code, stderr } = end(`new TypeError('x is not\\na function')`);
  assert.equal(code, 1);
  assert.match(stderr, /^tunneld: unexpected error: TypeError: x is not a function \(a bug: please report .*\)\n$/);
  assert.match(end(`new TypeError('x')`, { NODE_DEBUG: 'tunneld' }).stderr, /\(a bug: .*\)\n[^]*\n\s+at /);
});
