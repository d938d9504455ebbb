import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { AnyAuthMethod, AuthContext, AuthenticationType, KeyboardAuthContext } from 'ssh2';
import { createLogger } from '../../../src/lib/log/log.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { Authenticator, prepareAuthentication } from '../../../src/connection/auth/auth.ts';
import { describeAuth } from '../../../src/connection/auth/auth-report.ts';
import { createIdentityCache } from '../../../src/connection/auth/identity-cache.ts';
import { loadCredentials } from '../../../src/connection/auth/credentials.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { tempDir } from '../../support/until.ts';
import { logIn, makeKey, specFor, startAgent, startServer } from '../../support/login.ts';

const PASSWORD = 'hunter2';

test('logs in with a password', async (t) => {
  const { spec } = await setUp(t, (context) => {
    if (context.method === 'password' && context.password === PASSWORD) context.accept();
    else context.reject(['password']);
  });
  const result = await logIn(spec);
  assert.ok(result.ok, result.message);
});

test('sends a wrong password once, and keeps it out of the message', async (t) => {
  const { spec, seen } = await setUp(t, (context) => context.reject(['password', 'publickey']));
  const result = await logIn(spec);
  assert.equal(result.ok, false);
  assert.deepEqual(seen, ['password']);
  assert.match(result.message, /refused user limited: offered password; the server accepts password,publickey$/);
  assert.ok(!JSON.stringify([result.message, result.report, result.errors]).includes(PASSWORD));
});

test("sends no password when the server's host key is not known", async (t) => {
  const { spec, seen } = await setUp(t, (context) => context.reject(['password', 'keyboard-interactive']));
  const result = await logIn(spec, { trusted: false });
  assert.deepEqual(seen, ['none']);
  assert.match(
    result.message,
    /nothing to offer to \S+ for user limited; the server accepts password,keyboard-interactive; the password was withheld/,
  );
});

test('logs in without anything when the server asks for nothing', async (t) => {
  const { spec } = await setUp(t, (context) => (context.method === 'none' ? context.accept() : context.reject()));
  assert.ok((await logIn({ ...spec, passwordFile: null })).ok);
});

test('answers a hidden prompt with the password when the login is keyboard-interactive', async (t) => {
  const { spec } = await setUp(t, (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    context.prompt([hidden('Password: ')], ([answer]) => (answer === PASSWORD ? context.accept() : context.reject()));
  });
  const result = await logIn(spec);
  assert.ok(result.ok, result.message);
  assert.deepEqual(
    result.report.offers.map(({ method }) => method),
    ['password', 'keyboard-interactive'],
  );
});

test('gives empty answers when a prompt shows, comes later, or is one of a long form', async (t) => {
  const rounds = [
    [shown('Name: '), hidden('Password: ')],
    [hidden('Code: ')],
    [hidden('Old: '), hidden('New: '), hidden('Again: ')],
  ];
  const answers = await conversation(t, rounds);
  assert.deepEqual(answers, [['', PASSWORD], [''], ['', '', '']]);
  assert.deepEqual(await conversation(t, rounds.toReversed()), [['', '', ''], [PASSWORD], ['', '']]);
  assert.deepEqual(await conversation(t, [[shown('Really? ')]]), [['']]);
});

test('leaves the server when it never stops asking', { timeout: 60_000 }, async (t) => {
  const answers: string[][] = [];
  const { spec } = await setUp(t, (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    const ask = () =>
      context.prompt([hidden('Password: ')], (given) => {
        if (!Array.isArray(given)) return; // an error, whatever the types say: the client turned to something else
        answers.push(given);
        ask();
      });
    ask();
  });
  const result = await logIn(spec);
  assert.equal(result.ok, false);
  assert.deepEqual(answers, [[PASSWORD], [''], ['']]);
  assert.deepEqual(result.errors, ['All configured authentication methods failed']);
});

test('sends a key and then a password when the server wants both', async (t) => {
  const { spec, dir } = await setUp(t, keyThenPassword());
  const result = await logIn({ ...spec, identityFiles: [makeKey(dir, 'key', '-t', 'ed25519')] });
  assert.ok(result.ok, result.message);
  assert.deepEqual(
    result.report.offers.map(({ result: outcome }) => outcome.type),
    ['partial', 'pending'],
  );
});

test("sends an agent's key and then a password when the server wants both", async (t) => {
  // The file's key is refused first, so that a list without `password` is the last one that ssh2 passes on.
  const { spec, dir, seen } = await setUp(t, (context) => {
    if (context.method === 'publickey' && context.key.algo === 'ssh-ed25519') context.reject(['publickey']);
    else wanted(context);
  });
  const wanted = keyThenPassword();
  const file = makeKey(dir, 'file', '-t', 'ed25519');
  const identityAgent = await startAgent(t, dir, [makeKey(dir, 'agent', '-t', 'ecdsa')]);
  const result = await logIn({ ...spec, identityFiles: [file], identityAgent });
  assert.ok(result.ok, result.message);
  assert.deepEqual(
    result.report.offers.map(({ result: outcome }) => outcome.type),
    ['refused', 'partial', 'pending'],
  );
  assert.deepEqual(seen, ['publickey', 'publickey', 'publickey', 'password']);
});

test('offers a key again when the server asks for it after it was offered before its turn', async (t) => {
  let password = false;
  const { spec, dir } = await setUp(t, (context) => {
    if (context.method === 'password') {
      password = true;
      context.reject(['publickey'], true);
    } else if (context.method === 'publickey' && password) {
      context.accept();
    } else {
      context.reject(['password']);
    }
  });
  const result = await logIn({ ...spec, identityFiles: [makeKey(dir, 'key', '-t', 'ed25519')] });
  assert.ok(result.ok, result.message);
});

test('ends when a server always wants something else', { timeout: 60_000 }, async (t) => {
  const { spec, dir, seen } = await setUp(t, (context) =>
    context.reject([context.method === 'publickey' ? 'password' : 'publickey'] satisfies AuthenticationType[]),
  );
  const result = await logIn({ ...spec, identityFiles: [makeKey(dir, 'key', '-t', 'ed25519')] });
  assert.equal(result.ok, false);
  assert.deepEqual(seen, ['publickey', 'password', 'publickey', 'password']);
});

test('does not call a key refused when ssh2 never sent it', async (t) => {
  const dir = await tempDir(t);
  const [rsa, next] = [makeKey(dir, 'rsa', '-t', 'rsa', '-b', '2048'), makeKey(dir, 'next', '-t', 'ed25519')];
  const spec = specFor({ identityFiles: [rsa, next] });
  const authenticator = new Authenticator(
    spec,
    await loadCredentials(spec, createIdentityCache(), systemClock),
    () => true,
  );
  // As ssh2 calls it where the server takes no RSA signature: again, with the same answer as before.
  const call = (left: string[] | null) =>
    authenticator.handler(left as AuthenticationType[], false, () => assert.fail('not asked for')) as unknown as
      | AnyAuthMethod
      | false;
  const methods = [call(null), call(null), call(['publickey'])];
  assert.deepEqual(
    methods.map((method) => method && method.type),
    ['publickey', 'publickey', false],
  );
  assert.match(
    describeAuth(spec, authenticator.report(), 0),
    /offered rsa SHA256:\S+ \(\S+rsa\) \[not sent: [^\]]+\], ed25519 SHA256:\S+ \(\S+next\); the server accepts publickey$/,
  );
});

test('escapes what the server names when it is printed', () => {
  const message = describeAuth(
    specFor({ host: '2001:db8::1' }),
    {
      offers: [],
      accepts: ['\x1b[2J'],
      acceptsAlone: null,
      unwanted: [],
      withheld: [],
    },
    0,
  );
  assert.equal(message, 'nothing to offer to [2001:db8::1]:22 for user limited; the server accepts \\x1b[2J');
});

test('logs notes once, not at every attempt', async (t) => {
  const dir = await tempDir(t);
  const lines: string[] = [];
  const log = createLogger('info', (line) => lines.push(line));
  const cache = createIdentityCache();
  const spec = specFor({ identityFiles: [join(dir, 'missing'), makeKey(dir, 'key', '-t', 'ed25519')] });
  await prepareAuthentication(spec, 'test', cache, log, () => true);
  await prepareAuthentication(spec, 'test', cache, log, () => true);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /missing does not exist/);
});

interface Setup {
  readonly spec: TunnelSpec;
  readonly dir: string;
  /** The methods that the server saw, in order. */
  readonly seen: string[];
}

/** A server in this process, and a spec with a password for it. */
async function setUp(t: TestContext, onAuth: (context: AuthContext) => void): Promise<Setup> {
  const dir = await tempDir(t);
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  const seen: string[] = [];
  const port = await startServer(t, makeKey(dir, 'host', '-t', 'ed25519'), (context) => {
    seen.push(context.method);
    onAuth(context);
  });
  return { spec: specFor({ port, passwordFile }), dir, seen };
}

/** What a server does that wants a key with a signature and then the password. */
function keyThenPassword(): (context: AuthContext) => void {
  let key = false;
  return (context) => {
    if (context.method === 'publickey' && context.signature === undefined) {
      context.accept();
    } else if (context.method === 'publickey') {
      key = true;
      context.reject(['password'], true);
    } else if (context.method === 'password' && key && context.password === PASSWORD) {
      context.accept();
    } else {
      context.reject([key ? 'password' : 'publickey']);
    }
  };
}

interface Prompt {
  readonly prompt: string;
  readonly echo: boolean;
}

function shown(prompt: string): Prompt {
  return { prompt, echo: true };
}

function hidden(prompt: string): Prompt {
  return { prompt, echo: false };
}

/** What the client answers to these rounds of prompts. */
async function conversation(t: TestContext, rounds: readonly Prompt[][]): Promise<string[][]> {
  const answers: string[][] = [];
  const ask = (context: KeyboardAuthContext, [round, ...rest]: readonly Prompt[][]): void => {
    if (round === undefined) return context.accept();
    context.prompt(round, (given) => {
      answers.push(given);
      ask(context, rest);
    });
  };
  const { spec } = await setUp(t, (context) => {
    if (context.method === 'keyboard-interactive') ask(context, rounds);
    else context.reject(['keyboard-interactive']);
  });
  assert.ok((await logIn(spec)).ok);
  return answers;
}
