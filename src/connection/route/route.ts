import { childController, deferred, abortable } from '../../lib/async/abort.ts';
import { dial, discard as discardDialled, type Dialled } from '../../net/dial.ts';
import type { Device } from '../../net/device.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { AUTH_TIMEOUT_MS, type LoginDeps, type LoginEvents, prepareLogin, type ReachedServer } from './login.ts';
import { probePath, probeRequest, tryUntilAnswered } from '../../net/probe-path.ts';
import { loadProxy, passProxy } from './proxy.ts';
import { behindProxyKey } from '../../net/first-hop.ts';
import { startProxyCommand } from './proxy-command.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { formatAddress } from '../../model/endpoint.ts';
import type { Entry, ServerSpec, TunnelSpec } from '../../model/spec.ts';
import type { SshConnection } from '../ssh/connection.ts';
import { formatServer } from '../../model/state.ts';
import { createTransport, addressesOf } from '../../net/transport.ts';
import type { Turn } from '../../net/pacing/turns.ts';
import { runKeepalive, type KeepaliveDeps } from '../ssh/keepalive.ts';
import { adaptStreams } from '../../net/streams/stream-adapter.ts';
import { discard } from '../ssh/discard.ts';
import { untilOneFails, firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { deadline } from '../../lib/async/deadline.ts';

export interface RouteDeps extends Pick<LoginDeps, 'clock' | 'log' | 'identities'> {
  readonly device: KeepaliveDeps['device'] & Pick<Device, 'turns'>;
  /** Opens a TCP connection to the first hop, with what is left of connectTimeout. */
  reach(signal: AbortSignal): Promise<Dialled>;
  /** Resolves with the turn of a proxyCommand, which opens its own connection, when it may be started. */
  beforeCommand?(command: string, signal: AbortSignal): Promise<Turn>;
  heartbeat(withinMs: number): void;
  /** The local port of the connection at the bottom. */
  onSourcePort(port: number): void;
}

/** The open route to a tunnel's server, through proxies and jump hosts. */
export interface Route extends ReachedServer {
  /** Rejects with the reason when a part of the route has ended. */
  readonly lost: Promise<never>;
  /** Resolves when a new connection along the same route is answered; null where only a new start could show it. */
  readonly probe: ((signal: AbortSignal) => Promise<void>) | null;
  /** Closes the connections to the jump hosts. */
  close(): Promise<void>;
  /** Ends the whole route at once; resolves when its processes have ended. */
  destroy(): Promise<void>;
}

/**
 * Prepares the route to the tunnel's server; the function that it returns opens it, once. Rejects with a TunnelFailure.
 */
export async function prepareRoute(
  spec: TunnelSpec,
  deps: RouteDeps,
): Promise<(signal: AbortSignal) => Promise<Route>> {
  const logins: Login[] = [];
  for (const jump of spec.jumps)
    logins.push(await naming(jump, () => prepareLogin(jump, { ...deps, name: spec.name })));
  if (spec.entry.type === 'http' || spec.entry.type === 'socks5') await loadProxy(spec.entry);
  return async (signal) => {
    const first = spec.jumps[0] ?? spec;
    const entered = await enter(spec.entry, first, deps, signal);
    let { route } = entered;
    for (const [index, login] of logins.entries()) {
      const jump = spec.jumps[index]!;
      const { host, port } = spec.jumps[index + 1] ?? spec;
      deps.heartbeat(jump.connectTimeoutMs + AUTH_TIMEOUT_MS + SLACK_MS);
      const events: LoginEvents = { onAuthenticating: () => {}, onVisitor: ({ reject }) => reject() };
      try {
        const below = route;
        const logIn = (own: AbortSignal) => naming(jump, () => login(below, events, own));
        const { connection } = await firstToEnd(signal, [waitFor(below.lost), logIn]);
        // The first server counts no failure of the servers behind it.
        entered.turn?.accepted();
        route = await jumpTo({ host, port }, connection, jump, route, deps, signal);
      } catch (error) {
        await route.destroy();
        throw error;
      }
    }
    return route;
  };
}

const SLACK_MS = 30_000;

type Login = Awaited<ReturnType<typeof prepareLogin>>;

/** With the turn of the first connection; null for the proxyCommand of a command that a user runs. */
async function enter(
  entry: Entry,
  first: ServerSpec,
  deps: RouteDeps,
  signal: AbortSignal,
): Promise<{ readonly route: Route; readonly turn: Turn | null }> {
  const { clock, log } = deps;
  const { turns } = deps.device;
  if (entry.type === 'command') {
    const turn = (await deps.beforeCommand?.(entry.command, signal)) ?? null;
    const command = startProxyCommand(entry.command, log, clock);
    const transport = createTransport(command.stream, { addresses: null, direct: false }, clock);
    const { connectTimeoutMs: leftMs } = first;
    return { route: { ...command, transport, leftMs, probe: null, close: () => Promise.resolve() }, turn };
  }
  const { socket, leftMs, turn } = await deps.reach(signal).catch((error: unknown) => {
    throw entry.type === 'direct' || !(error instanceof TunnelFailure) ? error : atProxy(error);
  });
  const addresses = addressesOf(socket);
  deps.onSourcePort(addresses.localPort);
  let probe = (within: AbortSignal) => probePath(addresses, first, { clock, turns }, within);
  if (entry.type !== 'direct') {
    const { host, port } = first;
    await passProxy(socket, entry, { host, port }, leftMs, clock, signal).catch((error: unknown) => {
      // Giving up this attempt is no failure for the tunnels that wait.
      signal.throwIfAborted();
      throw turn.failed(asFailure(error));
    });
    turn.opened();
    // The proxy answers even when the server behind it cannot be reached.
    probe = (within) =>
      tryUntilAnswered(
        async (patience) => {
          const at = { ...first, host: entry.host, port: entry.port };
          const request = probeRequest(first.connectLimit, clock);
          const again = await dial(
            at,
            patience,
            { clock, turns, request, behindProxy: behindProxyKey(entry, first) },
            within,
          );
          await passProxy(again.socket, entry, { host, port }, patience, clock, within).finally(() =>
            discardDialled(again),
          );
        },
        clock,
        within,
      );
  }
  const route: Route = {
    stream: socket,
    transport: createTransport(socket, { addresses, direct: entry.type === 'direct' }, clock),
    leftMs,
    probe,
    lost: deferred<never>().promise,
    close: () => Promise.resolve(),
    destroy: async () => resetSocket(socket),
  };
  return { route, turn };
}

/** The cause determines how soon another attempt is worth while. */
function atProxy(failure: TunnelFailure): TunnelFailure {
  return new TunnelFailure('proxy-failed', `the proxy cannot be reached: ${failure.message}`, { cause: failure });
}

/** Opens the connection from a jump host to the next server, and keeps the connection to the jump host alive. */
async function jumpTo(
  next: { readonly host: string; readonly port: number },
  connection: SshConnection,
  jump: ServerSpec,
  below: Route,
  deps: RouteDeps,
  signal: AbortSignal,
): Promise<Route> {
  const { clock } = deps;
  const over = childController(signal);
  const open = async () =>
    await connection.open({ type: 'tcp', ...next }, { address: '127.0.0.1', port: 0 }).catch((error: unknown) => {
      const { message } = asFailure(error);
      throw new TunnelFailure('proxy-failed', `${formatServer(jump)}: ${message}`, { cause: error });
    });
  const destroy = async () => {
    over.abort(new TunnelFailure('disconnected', 'the session is over'));
    over.dispose();
    connection.destroy();
    await below.destroy();
  };
  const lost = untilOneFails(over.signal, [
    (own) => naming(jump, () => abortable(connection.lost, own)),
    waitFor(below.lost),
    (own) => naming(jump, () => keepJumpAlive(connection, jump, below, deps, own)),
  ]);
  // The next connection reports this failure, and may not exist yet.
  lost.catch(() => {});
  try {
    const late = () =>
      new TunnelFailure(
        'proxy-failed',
        `${formatServer(jump)} did not reach ${formatAddress(next)} within ${Math.round(jump.connectTimeoutMs / 1000)} s`,
      );
    // A server that cannot reach the next one may take minutes to say so.
    const opening = (own: AbortSignal) =>
      deadline(clock, jump.connectTimeoutMs, late, (soon) => abortable(open(), soon), own);
    const channel = await firstToEnd(signal, [waitFor(lost), opening]);
    const stream = adaptStreams({ readable: channel, writable: channel, close: () => channel.close() });
    return {
      stream,
      transport: createTransport(
        stream,
        { addresses: below.transport.addresses, direct: false },
        clock,
        connection.transport,
      ),
      leftMs: jump.connectTimeoutMs,
      lost,
      probe: async (within) => {
        await tryUntilAnswered(async () => discard(await open()), clock, within);
      },
      close: async () => {
        await connection.close();
        await below.close();
      },
      destroy,
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}

/** The keepalive of the connection to a jump host; its measurements are not reported. */
async function keepJumpAlive(
  connection: SshConnection,
  jump: ServerSpec,
  below: Route,
  { clock, device }: RouteDeps,
  signal: AbortSignal,
): Promise<never> {
  let known: { rttMs: number | null; silentSince: number | null } = { rttMs: null, silentSince: null };
  return await runKeepalive(
    connection,
    jump,
    {
      clock,
      device,
      probe: below.probe,
      heartbeat: () => {},
      state: () => known,
      report: (change) => (known = { ...known, ...change }),
    },
    signal,
  );
}

/** Names the jump host in a failure. */
function naming<T>(jump: ServerSpec, work: () => Promise<T>): Promise<T> {
  return placing(`on the way, at ${formatServer(jump)}`, work);
}

/** Says where a failure of the work was. */
export async function placing<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TunnelFailure)) throw error;
    throw new TunnelFailure(error.code, `${where}: ${error.message}`, { cause: error });
  }
}
