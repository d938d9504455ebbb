import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { encodeEd25519 } from '../../src/connection/auth/openssh-key.ts';
import { rawPrivateKey, rawPublicKey } from '../../src/connection/ssh/raw-key.ts';
import { sshString } from '../../src/connection/ssh/wire-writer.ts';

/** Makes an Ed25519 key as `ssh-keygen -t ed25519 -N ''` does, with its public half beside it: a process for each costs ten times as much. */
export function writeKeyPair(file: string, comment = ''): void {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const [seed, point] = [rawPrivateKey(privateKey), rawPublicKey(publicKey)];
  writeFileSync(file, encodeEd25519(seed, point, comment), { mode: 0o600 });
  const blob = Buffer.concat([sshString('ssh-ed25519'), sshString(point)]).toString('base64');
  writeFileSync(`${file}.pub`, `ssh-ed25519 ${blob} ${comment}\n`);
}
