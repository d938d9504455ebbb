import { createHash, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { rawPublicKey } from '../../src/connection/ssh/raw-key.ts';
import { WireReader } from '../../src/connection/ssh/wire-reader.ts';
import { sshString, uint32 } from '../../src/connection/ssh/wire-writer.ts';

/**
 * What a fleet shows at its ports: SSH servers, as far as the end of a key exchange by curve25519-sha256 (RFC 8731), so that a thousand of
 * them cost next to nothing. Arguments: the first port, how many, and a file with an Ed25519 key (PKCS#8).
 */
function main([first = '', count = '', file = '']: readonly string[]): void {
  const hostKey = createPrivateKey(readFileSync(file));
  const keyBlob = Buffer.concat([sshString('ssh-ed25519'), sshString(rawPublicKey(createPublicKey(hostKey)))]);
  const own = generateKeyPairSync('x25519');
  const point = rawPublicKey(own.publicKey);
  const kexInit = Buffer.concat([
    Buffer.concat([Buffer.of(20), Buffer.alloc(16, 7)]),
    ...[
      'curve25519-sha256',
      'ssh-ed25519',
      ...twice('aes128-ctr'),
      ...twice('hmac-sha2-256'),
      ...twice('none'),
      '',
      '',
    ].map((names) => sshString(names)),
    Buffer.alloc(5),
  ]);
  const reply = (version: string, theirInit: Buffer, theirPoint: Buffer) => {
    const theirs = createPublicKey({
      key: { kty: 'OKP', crv: 'X25519', x: theirPoint.toString('base64url') },
      format: 'jwk',
    });
    const secret = diffieHellman({ privateKey: own.privateKey, publicKey: theirs });
    const hashed = [version, VERSION, theirInit, kexInit, keyBlob, theirPoint, point, mpint(secret)].map((one) =>
      sshString(one),
    );
    const hash = createHash('sha256').update(Buffer.concat(hashed)).digest();
    const signature = Buffer.concat([sshString('ssh-ed25519'), sshString(sign(null, hash, hostKey))]);
    return Buffer.concat([Buffer.of(31), sshString(keyBlob), sshString(point), sshString(signature)]);
  };
  const serve = (socket: Socket) => {
    let seen = Buffer.alloc(0);
    socket.on('error', () => {}).write(`${VERSION}\r\n`);
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const [, version = ''] = /^(SSH-[^\r\n]*)\r?\n/.exec(seen.toString('latin1')) ?? [];
      const [init, exchange] = payloadsOf(seen.subarray(seen.indexOf('\n') + 1));
      if (version === '' || exchange === undefined) return;
      seen = Buffer.alloc(0);
      socket.write(packet(reply(version, init!, new WireReader(exchange.subarray(1)).string())));
      socket.write(packet(Buffer.of(21)));
    });
    socket.write(packet(kexInit));
  };
  for (let port = Number(first); port < Number(first) + Number(count); port += 1)
    createServer(serve).listen(port, '127.0.0.1', 128);
}

const VERSION = 'SSH-2.0-OpenSSH_9.2';

function twice<T>(one: T): readonly [T, T] {
  return [one, one];
}

function mpint(number: Buffer): Buffer {
  let from = 0;
  while (number[from] === 0) from += 1;
  const digits = number.subarray(from);
  return (digits[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), digits]) : digits;
}

/** Unencrypted: RFC 4253 section 6. */
function packet(payload: Buffer): Buffer {
  const padding = 4 + ((8 - ((payload.length + 9) % 8)) % 8);
  return Buffer.concat([uint32(1 + payload.length + padding), Buffer.of(padding), payload, Buffer.alloc(padding)]);
}

function payloadsOf(bytes: Buffer): readonly Buffer[] {
  const payloads: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length && at + 4 + bytes.readUInt32BE(at) <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    payloads.push(bytes.subarray(at + 5, at + 4 + length - bytes[at + 4]!));
    at += 4 + length;
  }
  return payloads;
}

main(process.argv.slice(2));
