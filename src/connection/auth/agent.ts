import { createConnection } from 'node:net';
import ssh2, {
  type GetStreamCallback,
  type IdentityCallback,
  type ParsedKey,
  type SignCallback,
  type SigningRequestOptions,
} from '#ssh2';
import type { Clock } from '../../lib/async/clock.ts';

/**
 * How long the agent may take for one request, a list or a signature. It may want to ask a person, who is not there.
 */
const AGENT_TIMEOUT_MS = 5_000;

/** The agent at a Unix socket. ssh2's own class waits for an answer for ever, and keeps the socket open meanwhile. */
export class BoundedAgent extends ssh2.OpenSSHAgent {
  readonly path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    super(path);
    this.path = path;
    this.#clock = clock;
  }

  /** Opens one connection per request; ssh2 closes it after the answer. */
  override getStream(callback: GetStreamCallback): void {
    const socket = createConnection({ path: this.path });
    const answer = once(callback);
    const timeout = new Error(`no answer within ${AGENT_TIMEOUT_MS / 1000} s`);
    const cancel = this.#clock.timer(AGENT_TIMEOUT_MS, () => socket.destroy(timeout));
    socket.once('connect', () => answer(null, socket));
    socket.on('error', (error) => answer(error));
    socket.once('close', () => {
      cancel();
      answer(new Error('the agent closed the connection'));
    });
  }
}

/**
 * Lists the keys of an agent without certificates, security keys and DSA keys, which ssh2 or the servers cannot use.
 */
export function listAgentKeys(agent: BoundedAgent): Promise<ParsedKey[]> {
  return new Promise((resolve, reject) => {
    agent.getIdentities((error, keys = []) => {
      if (error) {
        reject(error);
        return;
      }
      // OpenSSHAgent returns parsed keys; the other form is for custom agents.
      const parsed = keys.filter((key) => 'type' in key);
      resolve(parsed.filter((key) => key.type !== 'ssh-dss'));
    });
  });
}

/** The result of a signature: `failed` replaces the error that would end the connection. */
export interface SigningEvents {
  signed(): void;
  failed(error: unknown): void;
}

/** A single key of an agent, in the form that ssh2 expects. */
export class AgentKey extends ssh2.BaseAgent<ParsedKey> {
  readonly #agent: BoundedAgent;
  readonly #key: ParsedKey;
  readonly #events: SigningEvents;

  constructor(agent: BoundedAgent, key: ParsedKey, events: SigningEvents) {
    super();
    this.#agent = agent;
    this.#key = key;
    this.#events = events;
  }

  override getIdentities(callback: IdentityCallback<ParsedKey>): void {
    callback(null, [this.#key]);
  }

  override sign(
    key: ParsedKey,
    data: Buffer,
    options: SigningRequestOptions | SignCallback,
    callback?: SignCallback,
  ): void {
    const [settings, done] = typeof options === 'function' ? [{}, options] : [options, callback];
    this.#agent.sign(key, data, settings, (error, signature) => {
      if (error || signature === undefined) {
        this.#events.failed(error ?? new Error('the agent gave no signature'));
        return;
      }
      this.#events.signed();
      try {
        done?.(null, signature);
      } catch (cause) {
        // ssh2 throws on a signature that it cannot convert, into the agent's socket, where nothing would catch it.
        this.#events.failed(cause);
      }
    });
  }
}

function once(callback: GetStreamCallback): GetStreamCallback {
  let called = false;
  return (...args) => {
    if (called) return;
    called = true;
    callback(...args);
  };
}
