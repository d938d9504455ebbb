import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { asFailure, TunnelFailure } from './failure.ts';
import type { LoopbackInspector, Owner, Refusal } from './loopback.ts';
import { formatEndpoint, type Endpoint, type ForwardSpec } from './spec.ts';
import type { SshConnection } from './ssh.ts';

export interface ForwardsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Whether this tunnel was up before, so that a dead connection of ours may be in the way. */
  readonly wasUp: boolean;
  readonly loopback: Pick<LoopbackInspector, 'owner' | 'refusal'>;
  /** The server listens, but whether visitors come out here is still being looked at. */
  onGranted(index: number, port: number, rttMs: number): void;
  onUp(index: number, owner: Owner): void;
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure): void;
}

/**
 * Asks the server for every listener of its own, all at once, and goes on asking on the same connection for those it refuses: a port held
 * by somebody else is no reason for a new login, and it is ours as soon as the server frees it. `answered` resolves when each was
 * answered once, `granted` when the last one is up; both reject only with the connection or the signal.
 */
export function requestForwards(
  connection: SshConnection,
  forwards: readonly ForwardSpec[],
  options: ForwardsOptions,
  signal: AbortSignal,
): { readonly answered: Promise<void>; readonly granted: Promise<void> } {
  const requests = [...forwards.entries()]
    .filter(([, { kind }]) => kind === 'remote')
    .map(([index, forward]) => requestForward(connection, forward, index, options, signal));
  const granted = Promise.all(requests.map((request) => request.granted)).then(() => {});
  const answered = Promise.all(requests.map((request) => request.answered)).then(() => {});
  granted.catch(() => {});
  answered.catch(() => {});
  return { answered, granted };
}

function requestForward(
  connection: SshConnection,
  forward: ForwardSpec,
  index: number,
  options: ForwardsOptions,
  signal: AbortSignal,
): { readonly answered: Promise<boolean>; readonly granted: Promise<void> } {
  const refusal = once(() => options.loopback.refusal(forward.listen));
  const answered = ask(connection, forward, index, refusal, options, signal);
  return {
    answered,
    granted: answered.then((ok) => (ok ? undefined : keepAsking(connection, forward, index, refusal, options, signal))),
  };
}

async function keepAsking(
  connection: SshConnection,
  forward: ForwardSpec,
  index: number,
  refusal: () => Promise<Refusal>,
  options: ForwardsOptions,
  signal: AbortSignal,
): Promise<void> {
  const since = options.clock.now();
  for (;;) {
    await sleep(options.clock, askAgainAfter(options.clock.now() - since, options.random), signal);
    if (await ask(connection, forward, index, refusal, options, signal)) return;
  }
}

async function ask(
  connection: SshConnection,
  forward: ForwardSpec,
  index: number,
  refusal: () => Promise<Refusal>,
  { clock, log, wasUp, loopback, onGranted, onUp, onRefused }: ForwardsOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const asked = clock.now();
  try {
    const port = await connection.listen(forward.listen);
    onGranted(index, port, clock.now() - asked);
    const owner = await loopback.owner(forward.listen, port);
    if (owner !== 'foreign') {
      onUp(index, owner);
      return true;
    }
    await connection.unlisten(forward.listen.type === 'tcp' ? { ...forward.listen, port } : forward.listen);
    onRefused(index, 'in-use', halfGranted(forward.listen));
    return false;
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    if (failure.code !== 'forward-refused') throw failure;
    log.debug(`${formatEndpoint(forward.listen)} refused`);
    const why = await refusal();
    onRefused(index, why, withReason(failure, why, forward.listen, wasUp));
    return false;
  }
}

/**
 * The reason is found out once: to look is to visit whoever listens there, and sshd (serverloop.c) takes traffic to a dead client
 * of ours for a reason to wait longer before it asks whether that is alive.
 */
function once<T>(find: () => Promise<T>): () => Promise<T> {
  let found: Promise<T> | null = null;
  return () => (found ??= find());
}

/**
 * Every second or two while the refusal is fresh: a dead session's port comes free within that. After ten minutes somebody
 * else owns it or it is forbidden, and every request is a line in the server's log: then every fifteen seconds.
 */
export function askAgainAfter(refusedForMs: number, random: () => number): number {
  return refusedForMs < 600_000 ? 1000 + 500 * random() : 15_000;
}

function halfGranted(listen: Endpoint): TunnelFailure {
  return new TunnelFailure(
    'forward-refused',
    `the server listens on ${formatEndpoint(listen)} only in part: 127.0.0.1 belongs to another program there`,
  );
}

function withReason(
  { code, message, cause }: TunnelFailure,
  refusal: Refusal,
  listen: Endpoint,
  wasUp: boolean,
): TunnelFailure {
  const reason = listen.type === 'unix' ? UNIX_REASON : refusal === 'in-use' && wasUp ? OURS : REASONS[refusal];
  return new TunnelFailure(code, reason === '' ? message : `${message}: ${reason}`, { cause });
}

const REASONS: Readonly<Record<Refusal, string>> = {
  'in-use': 'another program listens there, or a dead connection of this tunnel that the server still holds',
  forbidden: 'nothing listens there, so its rules (AllowTcpForwarding, permitlisten, GatewayPorts) forbid it',
  unknown: '',
};

const OURS =
  'something listens there, most likely a dead connection of ours; it goes when the server notices that (ClientAliveInterval)';

const UNIX_REASON =
  'the file may be left over from a dead connection, which StreamLocalBindUnlink yes on the server would replace';
