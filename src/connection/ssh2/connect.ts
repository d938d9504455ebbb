import { internalsOf } from './protocol/internals.ts';
import ssh2, { type ConnectConfig, type NegotiatedAlgorithms } from '#ssh2';
import { deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { shellWord } from '../../lib/shell-quote.ts';
import { printable } from '../../lib/text.ts';
import { VERSION } from '../../lib/version.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { trackChannels } from '../ssh/idle-ends.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { guardListeners } from '../../net/streams/guard-listeners.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { AgreedAlgorithms } from '../../model/state.ts';
import type { Channel, SshConnection, Visitor } from '../ssh/connection.ts';
import type { Transport } from '../../net/transport.ts';
import type { SshStream } from '../../net/streams/stream-adapter.ts';
import { algorithms } from './algorithms.ts';
import { translateError, type Stage } from './errors.ts';
import { guardConnection } from './guards.ts';
import type { Identification } from './identification.ts';
import { batchPackets, sendSealed, sendsNow } from './packets/batch-packets.ts';
import { ConnectionChannels } from './packets/interactive.ts';
import { recordOffer } from './offer.ts';
import { createRequests } from './requests.ts';
import type { Authenticator } from '../auth/auth.ts';
import { hearSignatures } from '../auth/signature-algorithms.ts';
import type { HostKeyVerifier } from '../known-hosts/host-key-verifier.ts';

export interface ConnectOptions {
  readonly spec: ServerSpec;
  /** The open stream to the server, which the connection owns from here on. */
  readonly stream: SshStream;
  readonly transport: Transport;
  readonly hostKeys: Pick<HostKeyVerifier, 'knownKeyTypes' | 'certified' | 'certificate' | 'learn'>;
  /** Verifies the server's host key, synchronously: null is trust. Called again on every rekey. */
  verifyHostKey(key: Buffer): TunnelFailure | null;
  readonly authentication: Pick<Authenticator, 'handler' | 'hearSignatures'>;
  /** The offers and refusals, for the message of auth-rejected. */
  describeAuth(): string;
  readonly handshakeTimeoutMs: number;
  readonly authTimeoutMs: number;
  readonly clock: Clock;
  /** Adds the likely fault of the path to a handshake that has stalled. */
  explainStall(failure: TunnelFailure, identified: boolean): TunnelFailure;
  /** The keys are exchanged; `agreed` describes the algorithms. */
  onAuthenticating(agreed: string): void;
  onVisitor(visitor: Visitor): void;
  /** The server announced so many host keys that none was read. */
  onTooManyHostKeys(count: number): void;
  onBanner(text: string): void;
}

/** Runs the SSH handshake and the authentication over a socket. Rejects with the failure; the socket is then destroyed. */
export function connectSsh(options: ConnectOptions, signal: AbortSignal): Promise<SshConnection> {
  return new Connecting(options).start(signal);
}

class Connecting {
  readonly #options: ConnectOptions;
  readonly #client = new ssh2.Client();
  readonly #lost = deferred<never>();
  readonly #closed = deferred<void>();
  readonly #requests: ReturnType<typeof createRequests>;
  readonly #offer = recordOffer();
  readonly #use: ReturnType<typeof trackChannels>;
  readonly #channels = new ConnectionChannels();
  #cancelTimer = () => {};
  #transport: Transport;
  #identification: Identification | null = null;
  #closing = false;
  #stage: Stage = 'handshake';
  #hostKeyFailure: TunnelFailure | null = null;
  #serverVersion = '';
  /** What the server said last to the user (RFC 4252 section 5.4). */
  #said = '';
  #algorithms: AgreedAlgorithms = { keyExchange: '', hostKey: '', hostCertificate: null };

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#transport = options.transport;
    this.#requests = createRequests(this.#client, options.clock);
    this.#use = trackChannels(options.clock);
  }

  start(signal: AbortSignal): Promise<SshConnection> {
    const { clock, handshakeTimeoutMs, explainStall } = this.#options;
    const onAbort = () => this.#fail(new TunnelFailure('disconnected', 'closed by us'));
    this.#onEnds();
    this.#onLogin();
    this.#onVisitors();
    return new Promise<SshConnection>((resolve, reject) => {
      signal.addEventListener('abort', onAbort, { once: true });
      this.#cancelTimer = clock.timer(handshakeTimeoutMs, () => {
        const failure = timeout('the SSH handshake', handshakeTimeoutMs);
        this.#fail(explainStall(failure, this.#identification?.seen() ?? false));
      });
      this.#client.once('ready', () => {
        this.#stage = 'established';
        this.#cancelTimer();
        signal.removeEventListener('abort', onAbort);
        this.#serverVersion = printable(internalsOf(this.#client)._remoteVer ?? '');
        resolve(this.#connection());
      });
      this.#lost.promise.catch((error: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      });
      if (signal.aborted) {
        onAbort();
        return;
      }
      try {
        this.#connect();
        this.#guard();
      } catch (error) {
        this.#failAs(error as Error);
      }
    });
  }

  /**
   * The first reason counts. The socket is destroyed at once: ssh2 would go on reading after a fatal error, and a peer
   * that never closes would hold the connection open. It is reset instead of closed, or the 4-tuple would stay in
   * FIN-WAIT.
   */
  #fail(failure: TunnelFailure): void {
    this.#cancelTimer();
    const reason =
      this.#hostKeyFailure ??
      (this.#stage === 'authentication'
        ? withLastWord(failure, this.#said, this.#options.spec.user)
        : withFirstLine(failure, this.#identification?.firstLine() ?? ''));
    this.#lost.reject(reason);
    this.#requests.fail(reason);
    resetSocket(this.#options.stream);
  }

  #failAs(error: Error): void {
    this.#fail(translateError(error, this.#stage, ''));
  }

  #onEnds(): void {
    this.#client.on('error', (error: Error) => {
      const failure = translateError(error, this.#stage, this.#options.describeAuth());
      const message = failure.code === 'no-common-algorithm' ? this.#offer.explain(failure.message) : failure.message;
      this.#fail(new TunnelFailure(failure.code, message, { cause: failure.cause }));
    });
    this.#client.on('end', () => this.#failAs(new Error('the server closed the connection')));
    this.#client.on('close', () => {
      this.#failAs(new Error('the connection was closed'));
      this.#closed.resolve();
    });
    // ssh2 closes our half silently when the server disconnects without a complaint (reason 11). The server may never
    // close the other half.
    this.#options.stream.once('finish', () => {
      if (!this.#closing) this.#failAs(new Error('the server ended the connection'));
    });
  }

  #onLogin(): void {
    const { clock, spec, authTimeoutMs, hostKeys, onAuthenticating, onBanner } = this.#options;
    // An expired password: only a person can choose the next one, and without a listener the login would hang.
    this.#client.on('change password', () =>
      this.#fail(
        new TunnelFailure('auth-rejected', `the server requires user ${spec.user} to change the password first`, {
          hint: expiredHint(spec.user),
        }),
      ),
    );
    let banners = 0;
    this.#client.on('banner', (text: string) => {
      banners++;
      this.#said = text;
      if (banners <= MAX_BANNERS_LOGGED) onBanner(printable(text.trim(), 1000));
    });
    this.#client.on('handshake', (agreed) => {
      if (this.#stage !== 'handshake') return;
      this.#stage = 'authentication';
      this.#algorithms = {
        keyExchange: printable(agreed.kex),
        hostKey: printable(agreed.serverHostKey),
        hostCertificate: hostKeys.certificate(),
      };
      this.#offer.stop(this.#client);
      this.#cancelTimer();
      this.#cancelTimer = clock.timer(authTimeoutMs, () => this.#fail(timeout('authentication', authTimeoutMs)));
      onAuthenticating(describeAgreement(agreed));
    });
    // OpenSSH's hostkeys-00 (PROTOCOL section 2.5).
    this.#client.on(
      'hostkeys',
      (keys: { getPublicSSH(): Buffer }[]) => void hostKeys.learn(keys.map((key) => key.getPublicSSH())),
    );
  }

  #onVisitors(): void {
    const come = (listen: Endpoint, originator: string, accept: () => Channel, reject: () => void) =>
      this.#options.onVisitor({ listen, originator, ...answerOnce(() => this.#accepted(accept()), reject) });
    this.#client.on('tcp connection', ({ destIP, destPort, srcIP, srcPort }, accept, reject) =>
      come({ type: 'tcp', host: destIP, port: destPort }, printable(`${srcIP}:${srcPort}`), accept, reject),
    );
    this.#client.on('unix connection', ({ socketPath }, accept, reject) =>
      come({ type: 'unix', path: socketPath }, 'a local process of the server', accept, reject),
    );
  }

  /** The answer leaves before the visit is begun and logged. */
  #accepted(channel: Channel): Channel {
    sendSealed(this.#client);
    return this.#use.add(sendsNow(this.#client, channel, this.#channels, this.#options.clock));
  }

  #connect(): void {
    const { spec, stream, authentication, hostKeys, verifyHostKey } = this.#options;
    this.#client.connect({
      sock: stream,
      ident: `tunneld_${VERSION.replaceAll('-', '_')}`,
      username: spec.user,
      authHandler: authentication.handler,
      // ssh2's own timers stop too early and kill busy connections: the timers above and the keepalive replace them.
      readyTimeout: 0,
      keepaliveInterval: 0,
      algorithms: algorithms(spec, hostKeys),
      debug: this.#offer.debug,
      hostVerifier: (key: Buffer) => {
        this.#hostKeyFailure = verifyHostKey(key);
        // Returning false would let ssh2 go on with the rest of what it has read.
        if (this.#hostKeyFailure !== null) throw this.#hostKeyFailure;
        return true;
      },
    } satisfies ConnectConfig);
  }

  #guard(): void {
    const { clock, stream } = this.#options;
    batchPackets(this.#client, stream, this.#channels, clock);
    const guarded = guardConnection(this.#client, {
      ...this.#options,
      onFault: (error) => this.#failAs(error),
      mostOnItsWay: (ours) => this.#channels.window(ours, clock.now()),
    });
    this.#identification = guarded.identification;
    this.#transport = guarded.transport;
    this.#lost.promise.catch(guarded.forget);
    hearSignatures(this.#client, this.#options.authentication.hearSignatures);
  }

  #connection(): SshConnection {
    const { fail: _fail, open, ...requests } = this.#requests;
    const { add, idleMs } = this.#use;
    return {
      ...requests,
      lost: this.#lost.promise,
      serverVersion: this.#serverVersion,
      algorithms: this.#algorithms,
      transport: this.#transport,
      open: async (endpoint, originator) =>
        add(sendsNow(this.#client, await open(endpoint, originator), this.#channels, this.#options.clock)),
      idleMs,
      close: () => this.#close(),
      destroy: () => this.#fail(new TunnelFailure('disconnected', 'closed by us')),
    };
  }

  async #close(): Promise<void> {
    this.#closing = true;
    // On a dead path the disconnect message never leaves, so the close is waited for only briefly.
    this.#client.end();
    const cancel = this.#options.clock.timer(GOODBYE_MS, () => resetSocket(this.#options.stream));
    await this.#closed.promise;
    cancel();
  }
}

/** The agreed algorithms, safe to print. */
function describeAgreement({ kex, serverHostKey, cs }: NegotiatedAlgorithms): string {
  return printable(
    [kex, serverHostKey, cs.cipher, cs.mac, cs.compress === 'none' ? '' : cs.compress].filter(Boolean).join(', '),
  );
}

/** Rejecting an accepted channel would corrupt ssh2's channel table: so it does nothing. */
function answerOnce(accept: () => Channel, reject: () => void): Pick<Visitor, 'accept' | 'reject'> {
  let answered = false;
  return {
    accept: () => {
      answered = true;
      return guardListeners(accept());
    },
    reject: () => {
      if (!answered) reject();
      answered = true;
    },
  };
}

/** A server may send any number of banners. */
const MAX_BANNERS_LOGGED = 3;

/** How long a graceful close may take before the connection is reset. */
const GOODBYE_MS = 500;

function timeout(what: string, ms: number): TunnelFailure {
  return new TunnelFailure('handshake-failed', `the server did not finish ${what} within ${Math.round(ms / 1000)} s`);
}

/** Adds why sshd's PAM refuses an account, which it tells the user alone. A longer text is a notice for everybody. */
function withLastWord(failure: TunnelFailure, said: string, user: string): TunnelFailure {
  const text = said.trim();
  const refusal = failure.code === 'auth-rejected' || failure.code === 'handshake-failed';
  if (!refusal || text === '' || text.includes('\n')) return failure;
  const hint = /expired/i.test(text) ? { hint: expiredHint(user) } : {};
  return new TunnelFailure(failure.code, `${failure.message}; it says: ${printable(text, 200)}`, {
    cause: failure,
    ...hint,
  });
}

/** `chage` is of shadow; where an account comes from a directory (LDAP), its administrator knows. */
function expiredHint(user: string): string {
  const word = shellWord(user);
  return `On the server, \`sudo chage -l ${word}\` shows when the account and its password expire; \`sudo chage -E -1 -M -1 ${word}\` lets them last.`;
}

/** Adds the first line of a peer that sent no SSH identification: it distinguishes a web server from a busy sshd. */
function withFirstLine(failure: TunnelFailure, firstLine: string): TunnelFailure {
  if (firstLine === '' || failure.code !== 'handshake-failed') return failure;
  return new TunnelFailure(failure.code, `${failure.message}; instead of SSH it says: ${firstLine}`, {
    cause: failure,
  });
}
