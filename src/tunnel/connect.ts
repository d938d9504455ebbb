import { prepareConnection } from '../connection/shared/open-connection.ts';
import type { JoinedShare } from '../connection/shared/connection-pool.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import type { Visitor } from '../connection/ssh/connection.ts';
import { abortable } from '../lib/async/abort.ts';
import { firstToEnd } from '../lib/async/scope.ts';
import { takeCommandTurn } from '../net/command-turn.ts';
import { discard, type Dialled } from '../net/dial.ts';
import { firstHop } from '../net/first-hop.ts';
import type { Turn } from '../net/pacing/turns.ts';
import { reachServer } from './reach-server.ts';
import { mustNotShare, type ShareSeeker } from './seek-share.ts';
import { dialDeps, type Tunnel } from './tunnel-context.ts';

export interface Attempt {
  /** Ends the wait for the server, but not a connection. */
  readonly round: AbortSignal;
  /** Finds another tunnel's connection to share. */
  readonly seeker: ShareSeeker;
  turn: Turn | null;
  loggedInAt: number | null;
  /** The share of another tunnel's connection that carries this one. */
  joined: JoinedShare | null;
}

/**
 * A connection of the tunnel's own, or a share of another tunnel's, whichever comes first. Rejects with a TunnelFailure, or with the
 * reason of the signal or the round.
 */
export async function connectTunnel(
  tunnel: Tunnel,
  attempt: Attempt,
  onVisitor: (visitor: Visitor) => void,
  signal: AbortSignal,
): Promise<Share> {
  const { spec, deps } = tunnel;
  const { store, heartbeat } = deps;
  // To decrypt a key may take a minute.
  heartbeat(PREPARATION_MS);
  const open = await prepareConnection(spec, {
    ...deps,
    offer: (login, connection) => {
      const connections = mustNotShare(tunnel.history.shortShares) ? null : deps.connections;
      return connections?.offer(login, connection) ?? (() => {});
    },
    reach: async (way) => {
      const reach = (own: AbortSignal) => reachServer(tunnel, own);
      const dialled = await firstToEnd<Dialled>([attempt.round, way], [reach], discard);
      begin(dialled.turn);
      return dialled;
    },
    beforeCommand: async (command, way) => {
      const take = (own: AbortSignal) => takeCommandTurn(command, firstHop(spec), dialDeps(tunnel), own);
      const turn = await firstToEnd<Turn>([attempt.round, way], [take], (late) => late.end());
      begin(turn);
      return turn;
    },
    onSourcePort: (port) => store.dispatch({ type: 'source-port', port }),
    onAuthenticating: () => store.dispatch({ type: 'authenticating' }),
    onOver: () => attempt.turn?.end(),
  });
  const member = memberOf(tunnel, onVisitor);
  const join = async (own: AbortSignal) => {
    const share = await abortable(attempt.seeker.join(member), own, leave);
    onJoined(tunnel, attempt, share);
    return share;
  };
  return await firstToEnd<Share>(signal, [(own) => open(member, own), join], leave);

  function begin(turn: Turn): void {
    attempt.turn = turn;
    store.dispatch({ type: 'reached' });
  }
}

const PREPARATION_MS = 300_000;

function leave(share: Share): void {
  void share.leave(false);
}

/** The tunnel, as its connection knows it. */
function memberOf({ spec, deps }: Tunnel, onVisitor: (visitor: Visitor) => void): Member {
  const { store, log, heartbeat } = deps;
  return {
    name: spec.name,
    heartbeat,
    state: store.state,
    report: (change) => store.dispatch({ type: 'watched', change }),
    onVisitor: (visitor) => {
      // An exception in the midst of ssh2's parser would end the connection.
      try {
        onVisitor(visitor);
      } catch (error) {
        log.error({ code: 'internal', error }, 'a bug: a visitor was rejected');
        visitor.reject();
      }
    },
  };
}

function onJoined({ deps, memory }: Tunnel, attempt: Attempt, share: JoinedShare): void {
  const { addresses } = share.connection.transport;
  attempt.joined = share;
  deps.log.info(`the connection of ${share.openedBy} carries this tunnel too: its own turn would be late`);
  // The next connection comes from this port, which evicts this one if it is dead by then.
  if (addresses === null) return;
  memory.ports?.used(addresses.localPort);
  deps.store.dispatch({ type: 'source-port', port: addresses.localPort });
}
