import { createConnection } from 'node:net';
import type { Clock } from '../../lib/async/clock.ts';
import { WireReader } from '../ssh/wire-reader.ts';
import { sshString, uint32 } from '../ssh/wire-writer.ts';

/**
 * How long the agent may take for one request, a list or a signature. It may want to ask a person, who is not there.
 */
const AGENT_TIMEOUT_MS = 5_000;

/** MAX_AGENT_REPLY_LEN and MAX_AGENT_IDENTITIES of OpenSSH's authfd.c. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_KEYS = 2048;

/** A public key or a certificate that an agent holds the private key for. */
export interface HeldKey {
  readonly blob: Buffer;
  readonly comment: string;
}

/** The agent at a Unix socket (draft-ietf-sshm-ssh-agent): a connection for each request, which ends with the answer. */
export class BoundedAgent {
  readonly path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
  }

  /** Everything that it holds, of whatever type. */
  async list(): Promise<HeldKey[]> {
    const answer = await this.#ask(Buffer.from([REQUEST_IDENTITIES]), IDENTITIES_ANSWER);
    const count = answer.uint32();
    if (count > MAX_KEYS) throw new Error(`it lists ${count} keys, more than ${MAX_KEYS}`);
    return Array.from({ length: count }, () => ({
      blob: Buffer.from(answer.string()),
      comment: answer.string().toString(),
    }));
  }

  /** The signature as SSH writes it: the algorithm, the value, and with a security key its flags and counter. */
  async sign(key: Buffer, data: Buffer, algorithm: string): Promise<Buffer> {
    const request = [Buffer.from([SIGN_REQUEST]), sshString(key), sshString(data), uint32(FLAGS[algorithm] ?? 0)];
    const signature = (await this.#ask(Buffer.concat(request), SIGN_RESPONSE)).string();
    const made = new WireReader(signature).text();
    if (made !== algorithm) throw new Error(`it signed with ${made} where ${algorithm} was wanted`);
    return Buffer.from(signature);
  }

  async #ask(request: Buffer, expected: number): Promise<WireReader> {
    const socket = createConnection({ path: this.path });
    const timeout = new Error(`no answer within ${AGENT_TIMEOUT_MS / 1000} s`);
    const cancel = this.#clock.timer(AGENT_TIMEOUT_MS, () => socket.destroy(timeout));
    socket.write(sshString(request));
    let received: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of socket) {
        received = Buffer.concat([received, chunk as Buffer]);
        const length = received.length < 4 ? 0 : received.readUInt32BE();
        if (length > MAX_ANSWER_BYTES) throw new Error(`its answer has ${length} bytes`);
        if (received.length >= 4 + length) return body(received.subarray(4, 4 + length), expected);
      }
      throw new Error('the agent closed the connection');
    } finally {
      cancel();
      socket.destroy();
    }
  }
}

function body(answer: Buffer, expected: number): WireReader {
  const reader = new WireReader(answer);
  const type = reader.byte();
  if (type === FAILURE) throw new Error('it answered with a failure');
  if (type !== expected) throw new Error(`its answer has the type ${type}`);
  return reader;
}

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

/** An RSA key signs with SHA-1 where no flag asks for another hash. */
const FLAGS: Readonly<Record<string, number>> = { 'rsa-sha2-256': 2, 'rsa-sha2-512': 4 };
