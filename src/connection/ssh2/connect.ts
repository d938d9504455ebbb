import ssh2, { type AuthHandlerMiddleware, type ConnectConfig, type NegotiatedAlgorithms } from '#ssh2';
import { deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { printable } from '../../lib/text.ts';
import { VERSION } from '../../lib/version.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { createUse } from '../ssh/idle-ends.ts';
import { resetSocket } from '../../net/reset-socket.ts';
import { shield } from '../../net/shield.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { Channel, SshConnection, Visitor } from '../ssh/connection.ts';
import type { Transport } from '../../net/transport.ts';
import type { Wire } from '../../net/stream-wire.ts';
import { valveOf } from '../../net/valve.ts';
import { algorithms } from './algorithms.ts';
import { limitAnnouncedKeys } from './announced-keys.ts';
import { guardCompression } from './compression.ts';
import { translateError, type Stage } from './errors.ts';
import { exchangeAside } from './group-exchange.ts';
import { holdIdentification, type Identification } from './identification.ts';
import { guardProtocol } from './protocol/protocol-guard.ts';
import { parseInTurns } from './protocol/parse-in-turns.ts';
import { quietAfterClose } from './protocol/quiet-channels.ts';
import { shareWindows } from './protocol/receive-windows.ts';
import { rekeyAfter } from './rekey.ts';
import { hearOffer } from './offer.ts';
import { createRequests } from './requests.ts';
import { limitSignatures } from '../auth/signature-algorithms.ts';
import { waitForRekey } from './protocol/unfinished-rekey.ts';

export interface ConnectOptions {
  readonly spec: ServerSpec;
  /** The open way to the server; from here on it is ours to end. */
  readonly wire: Wire;
  readonly transport: Transport;
  /** Host key algorithms for the key types already known of this host, the most wanted first. */
  readonly knownKeyTypes: readonly string[];
  /** Judges the server's host key, at once: null is trust. It is asked again on every rekey. */
  verifyHostKey(key: Buffer): TunnelFailure | null;
  readonly authHandler: AuthHandlerMiddleware;
  /** What was offered and refused, for the message of auth-rejected. */
  describeAuth(): string;
  readonly handshakeTimeoutMs: number;
  readonly authTimeoutMs: number;
  readonly clock: Clock;
  /** Adds what the path most likely does to a handshake that has come to a stop. */
  explainStall(failure: TunnelFailure, identified: boolean): TunnelFailure;
  /** The keys are exchanged; the algorithms are those agreed on. */
  onAuthenticating(agreed: string): void;
  onVisitor(visitor: Visitor): void;
  /** Host keys that the server has proven to own (OpenSSH's hostkeys-00, PROTOCOL section 2.5), as key blobs. */
  onHostKeys(keys: readonly Buffer[]): void;
  /** It named so many that none was looked at. */
  onTooManyHostKeys(count: number): void;
  onBanner(text: string): void;
}

/** Runs the SSH handshake and the authentication over a socket. Rejects with the failure; the socket is then destroyed. */
export function connectSsh(options: ConnectOptions, signal: AbortSignal): Promise<SshConnection> {
  const { wire: socket, clock, spec } = options;
  let { transport } = options;
  const client = new ssh2.Client();
  const lost = deferred<never>();
  const closed = deferred<void>();
  const requests = createRequests(client, clock);
  const offer = hearOffer();
  const use = createUse(clock);
  let identification: Identification | null = null;
  let closing = false;
  let stage: Stage = 'handshake';
  let hostKeyFailure: TunnelFailure | null = null;
  let serverVersion = '';
  const cancelTimers: (() => void)[] = [];

  // The first reason is the reason. The socket goes at once: ssh2 would go on reading after a fatal error, and a
  // peer that never closes would hold us. A reset instead of a close, or the 4-tuple stays in FIN-WAIT.
  const fail = (failure: TunnelFailure) => {
    for (const cancel of cancelTimers) cancel();
    const reason = hostKeyFailure ?? withWords(failure, identification?.said() ?? '');
    lost.reject(reason);
    requests.fail(reason);
    resetSocket(socket);
  };
  const onAbort = () => fail(new TunnelFailure('disconnected', 'closed by us'));
  const ended = (text: string) => fail(translateError(new Error(text), stage, ''));

  client.on('error', (error: Error) => {
    const failure = translateError(error, stage, options.describeAuth());
    const message = failure.code === 'no-common-algorithm' ? offer.explain(failure.message) : failure.message;
    fail(new TunnelFailure(failure.code, message, { cause: failure.cause }));
  });
  client.on('end', () => ended('the server closed the connection'));
  client.on('close', () => {
    ended('the connection was closed');
    closed.resolve();
  });
  // ssh2 closes our half, and says nothing, when the server disconnects without a complaint (reason 11). The server may never
  // close the other half.
  socket.once('finish', () => {
    if (!closing) ended('the server ended the connection');
  });
  // An expired password: only a person can choose the next one, and without a listener the login would hang.
  client.on('change password', () =>
    fail(new TunnelFailure('auth-rejected', `the server wants user ${spec.user} to change the password first`)),
  );
  let banners = 0;
  client.on('banner', (text: string) => {
    banners++;
    if (banners <= MAX_BANNERS_TOLD) options.onBanner(printable(text.trim(), 1000));
  });
  client.on('handshake', (agreed) => {
    if (stage !== 'handshake') return;
    stage = 'authentication';
    offer.stop(client);
    for (const cancel of cancelTimers.splice(0)) cancel();
    cancelTimers.push(clock.timer(options.authTimeoutMs, () => fail(timeout('authentication', options.authTimeoutMs))));
    options.onAuthenticating(describeAgreement(agreed));
  });
  client.on('hostkeys', (keys: { getPublicSSH(): Buffer }[]) =>
    options.onHostKeys(keys.map((key) => key.getPublicSSH())),
  );
  client.on('tcp connection', (info, accept, reject) =>
    options.onVisitor({
      listen: { type: 'tcp', host: info.destIP, port: info.destPort },
      originator: printable(`${info.srcIP}:${info.srcPort}`),
      ...answerOnce(() => use.add(accept()), reject),
    }),
  );
  client.on('unix connection', (info, accept, reject) =>
    options.onVisitor({
      listen: { type: 'unix', path: info.socketPath },
      originator: 'a local process of the server',
      ...answerOnce(() => use.add(accept()), reject),
    }),
  );

  const connection: SshConnection = {
    lost: lost.promise,
    get serverVersion() {
      return serverVersion;
    },
    get transport() {
      return transport;
    },
    listen: requests.listen,
    unlisten: requests.unlisten,
    open: async (endpoint, originator) => use.add(await requests.open(endpoint, originator)),
    idleMs: use.idleMs,
    attempt: requests.attempt,
    openTun: requests.openTun,
    run: requests.run,
    probe: requests.probe,
    close: async () => {
      closing = true;
      // On a dead path the goodbye never leaves, so the close is not waited for long.
      client.end();
      const cancel = clock.timer(GOODBYE_MS, () => resetSocket(socket));
      await closed.promise;
      cancel();
    },
    destroy: () => fail(new TunnelFailure('disconnected', 'closed by us')),
  };

  return new Promise<SshConnection>((resolve, reject) => {
    signal.addEventListener('abort', onAbort, { once: true });
    cancelTimers.push(
      clock.timer(options.handshakeTimeoutMs, () => {
        const failure = timeout('the SSH handshake', options.handshakeTimeoutMs);
        fail(options.explainStall(failure, identification?.seen() ?? false));
      }),
    );
    client.once('ready', () => {
      stage = 'established';
      for (const cancel of cancelTimers.splice(0)) cancel();
      signal.removeEventListener('abort', onAbort);
      serverVersion = printable((client as { _remoteVer?: string })._remoteVer ?? '');
      resolve(connection);
    });
    lost.promise.catch((error: unknown) => {
      signal.removeEventListener('abort', onAbort);
      reject(error);
    });
    if (signal.aborted) {
      onAbort();
      return;
    }
    try {
      client.connect({
        sock: socket,
        ident: `tunneld_${VERSION.replaceAll('-', '_')}`,
        username: spec.user,
        authHandler: options.authHandler,
        // ssh2's own timers stop too early and kill busy links: ours above and the liveness check replace them.
        readyTimeout: 0,
        keepaliveInterval: 0,
        algorithms: algorithms(spec, options.knownKeyTypes),
        debug: offer.debug,
        hostVerifier: (key: Buffer) => {
          hostKeyFailure = options.verifyHostKey(key);
          // Not false: ssh2 would go on with the rest of what it has read.
          if (hostKeyFailure !== null) throw hostKeyFailure;
          return true;
        },
      } satisfies ConnectConfig);
      const valve = valveOf(socket);
      parseInTurns(client, valve);
      identification = holdIdentification(client);
      shareWindows(client, (overload) => fail(translateError(overload, stage, '')));
      guardProtocol(client, socket);
      quietAfterClose(client);
      const rekey = waitForRekey(client, transport, clock, (breach) => fail(translateError(breach, stage, '')));
      transport = rekey;
      lost.promise.catch(() => rekey.forget());
      limitAnnouncedKeys(client, options.onTooManyHostKeys);
      exchangeAside(client, valve, clock, (error) => fail(translateError(error, stage, '')));
      if (spec.compression) guardCompression(client);
      if (spec.rekeyLimit !== null) rekeyAfter(client, socket, spec.rekeyLimit, clock);
      if (spec.pubkeyAcceptedAlgorithms !== null) limitSignatures(client, spec.pubkeyAcceptedAlgorithms);
    } catch (error) {
      fail(translateError(error as Error, stage, ''));
    }
  });
}

/** What both sides agreed on, safe to print. */
function describeAgreement({ kex, serverHostKey, cs }: NegotiatedAlgorithms): string {
  return printable(
    [kex, serverHostKey, cs.cipher, cs.mac, cs.compress === 'none' ? '' : cs.compress].filter(Boolean).join(', '),
  );
}

/** To refuse a channel that was accepted would tear ssh2's books: then it does nothing. */
function answerOnce(accept: () => Channel, reject: () => void): Pick<Visitor, 'accept' | 'reject'> {
  let answered = false;
  return {
    accept: () => {
      answered = true;
      return shield(accept());
    },
    reject: () => {
      if (!answered) reject();
      answered = true;
    },
  };
}

/** A server may send any number of them. */
const MAX_BANNERS_TOLD = 3;

/** How long a polite close may take before the connection is reset. */
const GOODBYE_MS = 500;

function timeout(what: string, ms: number): TunnelFailure {
  return new TunnelFailure('handshake-failed', `the server did not finish ${what} within ${Math.round(ms / 1000)} s`);
}

/** Adds what a peer said in the place of an SSH identification: it tells a web server from a busy sshd. */
function withWords(failure: TunnelFailure, words: string): TunnelFailure {
  if (words === '' || failure.code !== 'handshake-failed') return failure;
  return new TunnelFailure(failure.code, `${failure.message}; instead of SSH it says: ${words}`, { cause: failure });
}
