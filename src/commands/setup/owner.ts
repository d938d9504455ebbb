import { openLogin, type OpenLogin, runThere } from '../../connection/route/open-login.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { escapeLines } from '../../lib/text.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { asFailure, FAILURES } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { formatServer } from '../../model/state.ts';
import { checkUser } from '../../server-rules/names.ts';
import type { NewTunnel } from '../../setup/new-config.ts';
import { forwardPort, portNumber, withPort } from '../../setup/via/forward-port.ts';
import { LOOK, lookScript, readLook, type ServerLook } from '../../setup/via/look.ts';
import { nextFreePort, promisedTo } from '../../setup/via/ports.ts';
import { errorsOf, rootShell } from '../../connection/route/root-shell.ts';
import { readSpare } from '../../setup/spare-host-key.ts';
import { summaryOf } from '../../setup/via/summary.ts';
import { setUpScript } from '../../setup/script/set-up.ts';
import { LINUX, MACOS } from '../../setup/script/system.ts';
import { loginDeps } from '../find/login-deps.ts';
import { askFor, type Questions } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { setupFor } from './server-setup.ts';

/** A login of the owner's on the server, and what it saw there. */
export interface Owner {
  readonly look: ServerLook;
  /** `me@server:22`. */
  readonly login: string;
  /**
   * Sets the server up for this tunnel, after a summary and a yes; `spare` has it make a spare host key. Rejects with a UserError where it
   * is refused or fails.
   */
  setUp(
    spec: TunnelSpec,
    all: readonly TunnelSpec[],
    jump: boolean,
    questions: Questions,
    spare?: boolean,
  ): Promise<{ readonly changed: boolean; readonly spare: Buffer | null }>;
  close(): Promise<void>;
}

/**
 * Logs in as the owner does: with the agent, keys, and what the person types; nothing of it is kept. Rejects with a UserError where there
 * is no login, and where the server cannot be set up by it.
 */
export async function openOwner(admin: TunnelSpec, user: string, questions: Questions): Promise<Owner> {
  const name = formatServer(admin);
  const login = await logIn(admin, name, questions);
  try {
    const look = await lookAround(login, user, name);
    refuseSystem(look, name);
    return {
      look,
      login: name,
      setUp: async (spec, all, jump, asked, spare = false) => {
        const setup = await setupFor(spec, all, jump);
        const script = setUpScript(setup, look.system === 'macos' ? MACOS : LINUX, formatServer(spec), spare);
        report(['this will change', ...summaryOf(setup, look, name, spare)].join('\n'));
        await confirmScript(script, asked);
        const said = await runAsRoot(login, look, script, name, asked);
        return { changed: !said.includes(NOTHING_CHANGED), spare: spare ? readSpare(said) : null };
      },
      close: () => login.close(),
    };
  } catch (error) {
    await login.close();
    throw error;
  }
}

/** `own` says of an own login where it is, and by which option it is named. */
export async function logIn(
  admin: TunnelSpec,
  name: string,
  { person }: Questions,
  own = 'on the server (--via me@server)',
): Promise<OpenLogin> {
  try {
    return await openLogin(admin, { ...loginDeps('error'), person }, NEVER);
  } catch (error) {
    const { code, message } = asFailure(error);
    const cure =
      code === 'auth-rejected' || code === 'key-unreadable'
        ? `name your own login ${own}${person === null ? ', with a key that needs no question, because there is no terminal to ask for a password' : ''}`
        : FAILURES[code].hint;
    throw new UserError(`your login ${name}: ${code}: ${message}\n${cure}`, EXIT.failed, { cause: error });
  }
}

async function lookAround(login: OpenLogin, user: string, name: string): Promise<ServerLook> {
  const limits = { limit: LOOK_BYTES, ms: LOOK_MS, clock: systemClock };
  const { stdout, stderr } = await runThere(login, LOOK, lookScript(user), limits, NEVER).catch((error: unknown) => {
    throw new UserError(`${name}: ${asFailure(error).message}`, EXIT.failed, { cause: error });
  });
  const look = readLook(stdout.toString('utf8'), user);
  if (look !== null) return look;
  throw new UserError(
    `${name} runs no script of ours${stderr === '' ? '' : `: ${escapeLines(stderr.trim())}`}\nuse a login of the server that may run commands, or run this without --via, for a script to run there yourself`,
  );
}

const LOOK_BYTES = 4 * 1024 * 1024;
const LOOK_MS = 60_000;

function refuseSystem({ system, root }: ServerLook, name: string): void {
  if (system === 'nixos')
    throw new UserError(
      `the server runs NixOS, which generates its files: run this without --via, then put what \`tunneld server-setup NAME --for nixos\` prints into its configuration`,
    );
  if (root === 'never')
    throw new UserError(
      `${name} is not root, and there is no sudo on the server: use a login that may become root (--via root@server), or run this without --via`,
    );
}

/**
 * The user and the ports of the tunnel as this server can have them. On a terminal, what is taken is replaced by what is free after a
 * question; without one it is an error that names what is free. Ports that are written as `auto` are chosen.
 */
export async function agreeOn(wanted: NewTunnel, owner: Owner, own: Own, questions: Questions): Promise<NewTunnel> {
  const user = await agreeOnUser(wanted, owner, own, questions);
  const remoteForward: string[] = [];
  for (const forward of wanted.remoteForward)
    remoteForward.push(await agreeOnPort(forward, user, remoteForward, owner, own, questions));
  return { ...wanted, user, remoteForward };
}

/** Whether the server is set up for this tunnel already, as far as a look shows. */
export function isSetUp(
  { user, promised }: ServerLook,
  { user: name, remoteForward }: NewTunnel,
  marks: readonly string[],
): boolean {
  const ports = remoteForward.map(forwardPort).filter((port) => port !== null);
  return (
    hasMark(user?.setUpFor, marks) &&
    ports.every((port) => port === 'auto' || promised.some((one) => one.port === port && one.user === name))
  );
}

/** Whether the lines with which a user was set up are some of this device. */
export function hasMark(lines: readonly string[] | null | undefined, marks: readonly string[]): boolean {
  return lines?.some((line) => marks.some((mark) => line.includes(mark))) === true;
}

/** What the server may have already of this very tunnel. */
export interface Own {
  /** Texts of which each line for this device on the server has one; none where it has no key yet. */
  readonly marks: readonly string[];
  /** Whether the configuration has the tunnel: nothing of it is changed then. */
  readonly configured: boolean;
  /** Whether a person named the key: the user may be one that has it. */
  readonly given: boolean;
}

async function agreeOnUser(
  { user }: NewTunnel,
  { look, login }: Owner,
  own: Own,
  questions: Questions,
): Promise<string> {
  if (look.user === null) return user;
  const { setUpFor, shell } = look.user;
  if (hasMark(setUpFor, own.marks)) return user;
  const what =
    setUpFor === null
      ? `the user ${user} of ${login} exists already${shell === '' ? '' : ` (${shell})`}`
      : `the user ${user} of ${login} is set up for another device`;
  if (setUpFor === null && (own.configured || own.given)) return user; // the script judges it
  if (own.configured || !questions.interactive)
    throw new UserError(`${what}: use another user for this tunnel, such as ${look.freeName}@…`);
  report(`${what}; each tunnel has a user of its own`);
  const read = (answer: string) => checkUser(answer, 'the user');
  if (setUpFor !== null) {
    const other = (answer: string) => {
      if (answer === user) throw wrongUsage(what);
      return read(answer);
    };
    return await askFor(questions.ask, 'Another name for the user of the tunnel', look.freeName, other);
  }
  report(
    `${user} itself can be taken over where it has no shell, no password, and no key but the one of this device, which is kept: give that with -i KEY`,
  );
  const question = `Another name for the user of the tunnel, or ${user} to take it over`;
  return await askFor(questions.ask, question, look.freeName, read);
}

async function agreeOnPort(
  forward: string,
  user: string,
  before: readonly string[],
  owner: Owner,
  own: Own,
  questions: Questions,
): Promise<string> {
  const { look, login } = owner;
  const port = forwardPort(forward);
  if (port === null) return forward;
  const taken = before.map(forwardPort).filter((other) => typeof other === 'number');
  const free = nextFreePort(look, user, taken);
  if (port === 'auto') {
    if (free === null) throw rangeIsFull(look);
    report(`the server's port for this device is ${free}`);
    return withPort(forward, free);
  }
  const holder = promisedTo(look, port, user);
  const isMine = look.promised.some((one) => one.port === port && one.user === user);
  const isBusy = !isMine && !own.configured && look.listening.includes(port);
  if (holder === null && !isBusy) return forward;
  const what =
    holder === null
      ? `port ${port} of ${login} is in use by a program there`
      : `port ${port} of ${login} is promised to the user ${holder}`;
  if (own.configured || !questions.interactive || free === null)
    throw new UserError(
      `${what}: choose another port${free === null ? '' : `, such as ${free} (-R ${withPort(forward, free)})`}`,
    );
  report(what);
  const answer = await askFor(questions.ask, 'Another port of the server', String(free), portNumber);
  return await agreeOnPort(withPort(forward, answer), user, before, owner, own, questions);
}

function rangeIsFull({ range }: ServerLook): UserError {
  return new UserError(
    `every port of the server's range ${range.first}-${range.last} is promised or in use: name a port, or widen the range there`,
  );
}

/** Resolves with the lines that the script has printed. */
async function runAsRoot(
  login: OpenLogin,
  { root }: ServerLook,
  script: string,
  name: string,
  { person }: Questions,
): Promise<readonly string[]> {
  const shell = rootShell(root, script, name, person);
  const limits = { limit: LOOK_BYTES, ms: SETUP_MS, clock: systemClock };
  const { code, stdout, stderr } = await runThere(login, shell.command, shell.conversation, limits, NEVER).catch(
    (error: unknown) => {
      throw new UserError(
        `${name}: ${asFailure(error).message}\nwhere the script had begun, it reverts its changes; run this again`,
        EXIT.failed,
        { cause: error },
      );
    },
  );
  const errors = escapeLines(errorsOf(stderr));
  if (code === 0) {
    const said = stdout.toString('utf8').split('\n');
    for (const line of said.filter((text) => text !== '' && !text.startsWith(' ')))
      report(`server: ${line.replace(/:$/, '')}`);
    return said;
  }
  if (!shell.hasBegun())
    throw new UserError(
      `${name} did not become root by sudo, and nothing was changed on the server${errors === '' ? '' : `: ${errors}`}\nuse a login that may become root (--via root@server), or run this without --via, for a script to run there yourself`,
    );
  throw new UserError(`the server was not set up:\n${errors}`);
}

/** The last line of the script where all was so before. */
const NOTHING_CHANGED = 'nothing was changed';

/** With the time in which a person finds the password of sudo. */
const SETUP_MS = 900_000;

async function confirmScript(script: string, { yes, ask }: Questions): Promise<void> {
  const lines = script.split('\n').length - 1;
  for (;;) {
    if (yes) return;
    const question = `Do this? y: yes, s: show the script (${lines} lines), n: no`;
    const letter = await askFor(ask, question, 'n', yesShowOrNo, 'confirm it with --yes');
    if (letter === 'y') return;
    if (letter === 'n') throw new UserError('nothing was changed on the server');
    process.stderr.write(script);
  }
}

function yesShowOrNo(answer: string): string {
  if (/^(?:y|yes|s|show|n|no)$/i.test(answer)) return answer[0]!.toLowerCase();
  throw wrongUsage(`${JSON.stringify(answer)} is none of y, s and n`);
}
