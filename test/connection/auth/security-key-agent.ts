import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { rawPublicKey } from '../../../src/connection/ssh/raw-key.ts';
import { WireReader } from '../../../src/connection/ssh/wire-reader.ts';
import { sshString, uint32 } from '../../../src/connection/ssh/wire-writer.ts';

/** A key of a FIDO authenticator in software (PROTOCOL.u2f): it signs as one does that nobody touches, unless it is `touched`. */
export class SecurityKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly #key: KeyObject;
  readonly #touched: boolean;
  #counter = 0;

  constructor(kind: 'ed25519' | 'ecdsa', touched = false) {
    this.#touched = touched;
    if (kind === 'ed25519') {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      [this.type, this.#key] = ['sk-ssh-ed25519@openssh.com', privateKey];
      this.blob = Buffer.concat([sshString(this.type), sshString(rawPublicKey(publicKey)), sshString('ssh:')]);
    } else {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      // Its end is 4 and both coordinates (RFC 5480).
      const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65);
      [this.type, this.#key] = ['sk-ecdsa-sha2-nistp256@openssh.com', privateKey];
      this.blob = Buffer.concat([sshString(this.type), sshString('nistp256'), sshString(point), sshString('ssh:')]);
    }
  }

  line(options: string): string {
    return `${options} ${this.type} ${this.blob.toString('base64')}\n`;
  }

  sign(data: Buffer): Buffer {
    const rest = Buffer.concat([Buffer.from([this.#touched ? 1 : 0]), uint32(++this.#counter)]);
    const signed = Buffer.concat([sha256(Buffer.from('ssh:')), rest, sha256(data)]);
    if (this.type.includes('ed25519'))
      return Buffer.concat([sshString(this.type), sshString(sign(null, signed, this.#key)), rest]);
    const raw = sign('sha256', signed, { key: this.#key, dsaEncoding: 'ieee-p1363' });
    const numbers = Buffer.concat([mpint(raw.subarray(0, 32)), mpint(raw.subarray(32))]);
    return Buffer.concat([sshString(this.type), sshString(numbers), rest]);
  }
}

/** An agent that lists these blobs, and signs with those that are security keys. */
export async function startKeyAgent(
  t: TestContext,
  socket: string,
  keys: readonly SecurityKey[],
  others: readonly Buffer[] = [],
): Promise<string> {
  const blobs = [...others, ...keys.map(({ blob }) => blob)];
  const answer = (request: Buffer): Buffer => {
    const reader = new WireReader(request);
    if (reader.byte() === 11) {
      const listed = blobs.map((blob, index) => Buffer.concat([sshString(blob), sshString(`number ${index}`)]));
      return Buffer.concat([Buffer.from([12]), uint32(blobs.length), ...listed]);
    }
    const blob = reader.string();
    const data = reader.string();
    const key = keys.find((one) => one.blob.equals(blob));
    return key === undefined ? Buffer.from([5]) : Buffer.concat([Buffer.from([14]), sshString(key.sign(data))]);
  };
  const server = createServer((connection) => {
    let received = Buffer.alloc(0);
    connection.on('error', () => {});
    connection.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readUInt32BE()) return;
      connection.write(sshString(answer(received.subarray(4))));
      received = Buffer.alloc(0);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.after(() => server.close());
  return socket;
}

function mpint(number: Buffer): Buffer {
  const from = number.findIndex((byte) => byte !== 0);
  const significant = number.subarray(from);
  return sshString(significant[0]! >= 0x80 ? Buffer.concat([Buffer.alloc(1), significant]) : significant);
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
