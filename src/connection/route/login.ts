import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { Device } from '../../net/device.ts';
import { prepareHostKeyVerifier } from '../known-hosts/host-key-verifier.ts';
import { nameLostPackets } from './large-packets.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { SshConnection, Visitor } from '../ssh/connection.ts';
import { prepareAuthentication } from '../auth/auth.ts';
import { describeAuth, offeredNothing, type AuthReport } from '../auth/auth-report.ts';
import { connectSsh } from '../ssh2/connect.ts';
import type { IdentityCache } from '../auth/identity-cache.ts';
import type { Person } from '../auth/person.ts';
import type { Transport } from '../../net/transport.ts';
import type { SshStream } from '../../net/streams/stream-adapter.ts';

export interface LoginDeps {
  /** The tunnel's name, for warnings about its keys. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly identities: IdentityCache;
  /** Asks for the server's methods before anything is offered, for a report. */
  readonly asksFirst?: boolean;
  /** Who types passwords and passphrases. */
  readonly person?: Person | null;
  readonly device?: Pick<Device, 'unacknowledged'>;
}

export interface ReachedServer {
  readonly stream: SshStream;
  readonly transport: Transport;
  /** Milliseconds of connectTimeout that are left for the handshake. */
  readonly leftMs: number;
}

export interface LoginEvents {
  /** The host key is trusted and these algorithms are agreed; the authentication begins. */
  onAuthenticating(agreed: string): void;
  onVisitor(visitor: Visitor): void;
}

/** A login that has succeeded. */
export interface Authenticated {
  readonly connection: SshConnection;
  readonly report: AuthReport;
}

/**
 * Prepares a login, known hosts and keys, so that a problem on this side is found before the server is bothered; the
 * function that it returns logs in, once.
 */
export async function prepareLogin(
  server: ServerSpec,
  { name, clock, log, identities, asksFirst = false, person = null, device }: LoginDeps,
): Promise<(reached: ReachedServer, events: LoginEvents, signal: AbortSignal) => Promise<Authenticated>> {
  const hostKeys = await prepareHostKeyVerifier(server, log, clock);
  const trusted = () => hostKeys.trusted();
  const authentication = await prepareAuthentication(server, name, identities, log, trusted, clock, asksFirst, person);
  return async ({ stream, transport, leftMs }, { onAuthenticating, onVisitor }, signal) => {
    if (server.checkHostIP && transport.direct && transport.addresses !== null) {
      // Bytes that come meanwhile are kept for the next reader.
      stream.pause();
      await hostKeys.addAddress(transport.addresses.remoteAddress);
      stream.resume();
    }
    const connection = await connectSsh(
      {
        spec: server,
        stream,
        transport,
        hostKeys,
        verifyHostKey: (key) => {
          const failure = hostKeys.verify(key);
          const whose = `${name} known_hosts for ${server.host}:${server.port}`;
          for (const note of identities.newNotes(whose, hostKeys.unread())) log.warn(`known_hosts: ${note}`);
          return failure;
        },
        authentication,
        describeAuth: () => describeAuth(server, authentication.report(), clock.wall()),
        handshakeTimeoutMs: leftMs,
        authTimeoutMs: person === null ? AUTH_TIMEOUT_MS : PERSON_TIMEOUT_MS,
        clock,
        explainStall: (failure, identified) => {
          const { addresses: ends, direct } = transport;
          const unacknowledged = ends === null || !direct ? null : (device?.unacknowledged(ends) ?? null);
          return nameLostPackets(failure, {
            identified,
            unacknowledged,
            silentMs: clock.now() - transport.traffic().heardAt,
          });
        },
        onAuthenticating: (agreed) => {
          onAuthenticating(agreed);
          void hostKeys.proven();
        },
        onVisitor,
        onTooManyHostKeys: (count) => log.warn(`${server.host} announced ${count} host keys; none was learnt`),
        onBanner: (text) => log.debug({ banner: text }, 'the server sent a banner'),
      },
      signal,
    ).catch((error: unknown) => {
      if (!(error instanceof TunnelFailure) || error.code !== 'auth-rejected') throw error;
      if (!offeredNothing(authentication.report())) throw error;
      const code = server.passwordFile !== null && !hostKeys.trusted() ? 'host-key-unknown' : 'key-unreadable';
      throw new TunnelFailure(code, error.message, { cause: error });
    });
    log.debug({ server: connection.serverVersion }, 'authenticated');
    return { connection, report: authentication.report() };
  };
}

/**
 * Authentication has a time of its own: a server that resolves addresses to names, or delays failures, is slow but not
 * dead.
 */
export const AUTH_TIMEOUT_MS = 30_000;

/** A person may have to look a password up; the server ends the wait earlier (LoginGraceTime in sshd_config(5), 2 minutes). */
const PERSON_TIMEOUT_MS = 600_000;
