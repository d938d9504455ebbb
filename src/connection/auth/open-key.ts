import type { ParsedKey } from 'ssh2';
import { WorkerUnavailable, runInWorker, JobLimitExceeded } from '../../lib/async/run-in-worker.ts';
import { shellWord } from '../../lib/shell-quote.ts';
import { printable } from '../../lib/text.ts';
import { TunnelFailure, type FailureCode } from '../../model/failure.ts';
import { inspectKeyFile } from './key-file.ts';
import { parsePrivateKey, unreadable } from './private-key.ts';
import { signed, signingInThread, type SigningKey } from './sign.ts';

/** A key file and its passphrase. */
interface KeySource {
  readonly bytes: Uint8Array;
  /** For an encrypted key. */
  readonly passphrase: string | null;
  readonly path: string;
}

/**
 * As parsePrivateKey(), without blocking the event loop: the file itself determines how much work its decryption is
 * (`ssh-keygen -a`), so that runs in a thread; where none can be started, it does block.
 */
export async function openKey(source: KeySource): Promise<ParsedKey> {
  const key = source.passphrase === null || isCheap(source) ? parse(source) : await decrypt(source);
  return await checked(signingInThread(key), source.path);
}

function parse({ bytes, passphrase, path }: KeySource): ParsedKey {
  return parsePrivateKey(Buffer.from(bytes), passphrase, path);
}

/** The key derivation of OpenSSH's format with one round, and of PEM before PKCS #8, costs next to nothing. */
function isCheap({ bytes }: KeySource): boolean {
  const file = inspectKeyFile(Buffer.from(bytes));
  if (file.kind === 'openssh') return file.header.rounds <= 1;
  return file.kind !== 'pem' || !file.text.includes('BEGIN ENCRYPTED');
}

async function decrypt(source: KeySource): Promise<ParsedKey> {
  try {
    const opened = await runInWorker<Decrypted>('decrypt-key', source, LIMITS);
    if ('code' in opened) throw new TunnelFailure(opened.code, opened.message);
    const key = parsePrivateKey(Buffer.from(opened.pem), null, source.path);
    key.comment = opened.comment;
    return key;
  } catch (error) {
    if (error instanceof JobLimitExceeded) throw tooMuchWork(source.path, error);
    if (!(error instanceof WorkerUnavailable)) throw error;
    return parse(source);
  }
}

/** `-a 100` takes 1.5 s on a PC and 15 s on a small computer. */
const LIMITS = { ms: 60_000, mib: 128 };

function tooMuchWork(path: string, cause: Error): TunnelFailure {
  return new TunnelFailure(
    'key-passphrase',
    `identityFile ${path} was not decrypted within ${LIMITS.ms / 1000} s: its key derivation has too many rounds; run \`ssh-keygen -p -a 16 -f ${shellWord(path)}\``,
    { cause },
  );
}

/** A key in a form that threads can exchange, or the reason why there is none. */
type Decrypted =
  | { readonly pem: string; readonly comment: string }
  | { readonly code: FailureCode; readonly message: string };

/** The job of src/worker.ts. */
export function decryptKey(source: KeySource): Decrypted {
  try {
    const key = parse(source);
    return { pem: key.getPrivatePEM(), comment: key.comment };
  } catch (error) {
    if (!(error instanceof TunnelFailure)) throw error;
    return { code: error.code, message: error.message };
  }
}

/**
 * Signs once for a test: a key that cannot sign would end the whole connection when it is used, instead of giving
 * way to the next.
 */
async function checked(key: SigningKey, path: string): Promise<ParsedKey> {
  const probe = Buffer.from('probe');
  // Not SHA-1, ssh2's default for RSA: some systems forbid it.
  const signature = key.signLater === undefined ? key.sign(probe) : await signed(key.signLater, probe, 'sha256');
  if (signature instanceof Error) throw unreadable(path, `cannot sign: ${printable(signature.message)}`, signature);
  return key;
}
