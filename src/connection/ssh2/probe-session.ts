import { randomBytes } from 'node:crypto';
import type { Client, ClientChannel } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import { firstLine } from '../../lib/text.ts';
import type { SessionProbe, SessionUse } from '../ssh/connection.ts';
import type { Protocol } from './protocol/internals.ts';
import { openSession, type SessionRequests } from './session-channel.ts';

/**
 * Requests one thing in a session of its own. A granted request proves nothing where a forced command takes its place:
 * a command, a shell and sftp have to prove that it is they that answer. The rest is requested without running
 * anything, so that a forced command runs no more often than needed.
 */
export function probeSession(
  client: Client,
  use: SessionUse,
  clock: Clock,
  done: (answer: SessionProbe) => void,
): void {
  openSession(client, (session) => {
    if (session === null) {
      done({ result: 'refused', output: '' });
      return;
    }
    const { channel } = session;
    const finish = (answer: SessionProbe) => {
      channel.close();
      done(answer);
    };
    if (use === 'environment') {
      setVariables(session, [...VARIABLES, `TUNNELD_AUDIT_${randomBytes(4).toString('hex')}`], [], finish);
      return;
    }
    const proof = PROOFS[use]?.() ?? null;
    const ask = (protocol: Protocol, id: number) => REQUESTS[use](protocol, id, proof?.command ?? '');
    session.request(ask, (granted) => {
      if (!granted) finish({ result: 'refused', output: '' });
      else if (proof === null) finish({ result: 'granted', output: '' });
      else awaitProof(channel, proof, clock, finish);
    });
  });
}

/** Variables that make a shell, an interpreter or the linker run something else. */
const VARIABLES = [
  'LD_PRELOAD',
  'LD_LIBRARY_PATH',
  'BASH_ENV',
  'ENV',
  'PATH',
  'PERL5OPT',
  'PYTHONPATH',
  'NODE_OPTIONS',
  'SHELL',
  'GIT_SSH_COMMAND',
];

/** RFC 4254 section 6.4. The values are empty, and nothing is run with them. */
function setVariables(
  session: SessionRequests,
  [name, ...rest]: readonly string[],
  taken: readonly string[],
  finish: (answer: SessionProbe) => void,
): void {
  if (name === undefined) finish({ result: taken.length > 0 ? 'granted' : 'refused', output: taken.join(', ') });
  else
    session.request(
      (protocol, id) => protocol.env(id, name, '', true),
      (granted) => setVariables(session, rest, granted ? [...taken, name] : taken, finish),
    );
}

type Ask = (protocol: Protocol, id: number, command: string) => void;

const REQUESTS: Readonly<Record<Exclude<SessionUse, 'environment'>, Ask>> = {
  command: (protocol, id, command) => protocol.exec(id, command, true),
  shell: (protocol, id) => protocol.shell(id, true),
  sftp: (protocol, id) => protocol.subsystem(id, 'sftp', true),
  terminal: (protocol, id) => protocol.pty(id, 24, 80, 480, 640, 'vt100', null, true),
  agent: (protocol, id) => protocol.openssh_agentForward(id, true),
  x11: (protocol, id) => protocol.x11Forward(id, x11Screen(), true),
};

/** RFC 4254 section 6.3.1; no program of the server ever gets this cookie. */
function x11Screen() {
  return { single: false, protocol: 'MIT-MAGIC-COOKIE-1', cookie: randomBytes(16).toString('hex'), screen: 0 };
}

/** Proves that what answers is what was requested. */
interface Proof {
  /** The command to run, for a command. */
  readonly command: string;
  readonly input: string | Buffer;
  /** Whether the input may end at once: OpenSSH's sftp server would then leave without an answer. */
  readonly ends: boolean;
  readonly pattern: RegExp;
}

const PROOFS: Readonly<Partial<Record<SessionUse, () => Proof>>> = {
  command: () => ({ ...echo(), input: '' }),
  shell: echo,
  // SSH_FXP_INIT of version 3 is answered by SSH_FXP_VERSION (draft-ietf-secsh-filexfer-02 section 4).
  sftp: () => ({
    command: '',
    input: Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]),
    ends: false,
    pattern: /\0\0[^]{2}\x02\0{3}[\x03-\x06]/,
  }),
};

/**
 * A shell removes the quotes, so its answer differs from an echo of the input. The Windows shell keeps them, and is
 * recognised by the word that it removes.
 */
function echo(): Proof {
  const [left, right] = [randomBytes(6).toString('hex'), randomBytes(6).toString('hex')];
  const command = `echo ${left}""${right}`;
  const pattern = new RegExp(`${left}${right}|(?<!echo )${left}""${right}`);
  return { command, input: `${command}\nexit\n`, ends: true, pattern };
}

function awaitProof(channel: ClientChannel, proof: Proof, clock: Clock, finish: (answer: SessionProbe) => void): void {
  let output = '';
  let text = '';
  const over = (result: SessionProbe['result']) => {
    cancel();
    channel.removeAllListeners('data').removeAllListeners('end').resume();
    finish({ result, output: result === 'granted' ? '' : firstLine(text) });
  };
  const cancel = clock.timer(PROOF_MS, () => over('silent'));
  channel.on('data', (chunk: Buffer) => {
    // Keeps the end: a greeting may come first.
    output = (output + chunk.toString('latin1')).slice(-MAX_OUTPUT);
    if (text.length < MAX_TEXT) text += chunk.toString('utf8');
    if (proof.pattern.test(output)) over('granted');
  });
  channel.stderr.on('data', (chunk: Buffer) => {
    if (text.length < MAX_TEXT) text += chunk.toString('utf8');
  });
  channel.on('end', () => over('other'));
  channel.on('error', () => {});
  channel.write(proof.input);
  if (proof.ends) channel.end();
}

/** A small computer under load may need seconds to start a shell. */
const PROOF_MS = 5000;

const MAX_OUTPUT = 64 * 1024;
const MAX_TEXT = 300;
