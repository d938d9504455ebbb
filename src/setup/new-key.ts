import { generateKeyPairSync } from 'node:crypto';
import { access, link, mkdir, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { encodeEd25519, encodeEd25519Public } from '../tunnel/ssh2/openssh-key.ts';

/** Makes an Ed25519 key without a passphrase at this path, with its public half beside it; false where there is a file already. */
export async function makeKey(path: string, comment: string): Promise<boolean> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) return false;
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  const [seed, publicKey] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')];
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Whole or not at all, and never over a file that came in between.
  const aside = `${path}.${process.pid}`;
  await writeFile(aside, encodeEd25519(seed, publicKey, comment), { mode: 0o600, flag: 'wx' });
  try {
    await link(aside, path);
  } finally {
    await unlink(aside);
  }
  await writeFile(`${path}.pub`, encodeEd25519Public(publicKey, comment), { mode: 0o644 });
  return true;
}
