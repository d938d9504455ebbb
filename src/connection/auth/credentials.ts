import type { ParsedKey } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import { errorText, printable } from '../../lib/text.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { fingerprint, rsaBits } from '../known-hosts/key-blob.ts';
import { isMissing, readSecretFile } from './secret-file.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { BoundedAgent, listAgentKeys } from './agent.ts';
import type { IdentityCache } from './identity-cache.ts';
import { askSecret, type Person } from './person.ts';
import { loadIdentityFile } from './identity-file.ts';

/** One key for the login. */
export interface Identity {
  /** Where the private key is. With `agent`, `key` is only the public half. */
  readonly source: 'file' | 'agent';
  /** The configured file, or null for a key that only the agent has. */
  readonly path: string | null;
  readonly comment: string;
  readonly keyType: string;
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  readonly key: ParsedKey;
}

export interface Credentials {
  /** In the order of the offers, each key once. */
  readonly identities: readonly Identity[];
  readonly agent: BoundedAgent | null;
  readonly password: string | null;
  /** Problems with some of them while others can be used, for a warning. */
  readonly notes: readonly string[];
}

/**
 * Loads all keys and passwords for a login. Throws where some are configured and none can be used, unless a `person` may type a password.
 * The person is asked for the passphrase of each key that the agent does not have.
 */
export async function loadCredentials(
  spec: ServerSpec,
  cache: IdentityCache,
  clock: Clock,
  person: Person | null = null,
): Promise<Credentials> {
  const notes: string[] = [];
  const failures: TunnelFailure[] = [];
  const identities = new Map<string, Identity>();
  const add = (identity: Identity) => {
    if (identities.has(identity.fingerprint)) return;
    const why = unfit(identity, spec);
    if (why === null) identities.set(identity.fingerprint, identity);
    else if (identity.path === null || !spec.identityFilesConfigured)
      notes.push(`the key ${identity.path ?? `${identity.comment} of the agent`} is not offered: ${why}`);
    else failures.push(new TunnelFailure('key-unreadable', `identityFile ${identity.path} is not offered: ${why}`));
  };

  const usesKeys = spec.authentications.includes('publickey');
  const agent = !usesKeys || spec.identityAgent === null ? null : new BoundedAgent(spec.identityAgent, clock);
  const held = await listHeld(agent, notes);
  const passphrase = lazily(async () =>
    spec.passphraseFile === null ? null : readSecretFile(spec.passphraseFile, 'passphraseFile'),
  );

  // Configured keys come before the agent's other keys: sshd disconnects after MaxAuthTries, 6 by default.
  for (const path of usesKeys ? spec.identityFiles : []) {
    const found = await readIdentity(path, { spec, held, passphrase, cache, person });
    if (found.identity !== null) add(found.identity);
    if (found.failure !== null) failures.push(found.failure);
    notes.push(...found.notes);
  }
  if (!spec.identitiesOnly) for (const key of held) add(describe('agent', null, key));
  const usesPassword = spec.authentications.some((method) => method !== 'publickey');
  const password = await loadPassword(usesPassword ? spec.passwordFile : null, failures);

  if (identities.size === 0 && password === null && person === null) throwFirst(failures, notes);
  notes.push(...failures.map((failure) => failure.message));
  return { identities: [...identities.values()], agent, password, notes };
}

interface Reading {
  readonly spec: ServerSpec;
  readonly held: readonly ParsedKey[];
  readonly passphrase: () => Promise<string | null>;
  readonly cache: IdentityCache;
  readonly person: Person | null;
}

/** The key of an identity file, with a passphrase from a person where there is no other. */
async function readIdentity(path: string, { spec, held, passphrase, cache, person }: Reading): Promise<UsableKey> {
  const file = await loadIdentityFile(path, spec.passphraseFile, passphrase, cache);
  const found = usableKey(file, path, held, spec.identityFilesConfigured);
  const isLocked = found.identity === null && file.key === null && file.failure.code === 'key-passphrase';
  if (person === null || !isLocked) return found;
  const typed = () => askSecret(person, `Enter the passphrase of the key ${path} (empty: without this key): `);
  return usableKey(await loadIdentityFile(path, TYPED, typed, cache), path, held, spec.identityFilesConfigured);
}

/** Stands for passphraseFile where a person types the passphrase. */
const TYPED = '';

interface UsableKey {
  readonly identity: Identity | null;
  readonly failure: TunnelFailure | null;
  readonly notes: readonly string[];
}

/** The key of an identity file: its own, or the agent's where the agent has it; else the problem with it. */
function usableKey(
  file: Awaited<ReturnType<typeof loadIdentityFile>>,
  path: string,
  held: readonly ParsedKey[],
  isConfigured: boolean,
): UsableKey {
  const nothing = { identity: null, failure: null, notes: [] };
  if (file.key !== null) return { ...nothing, identity: describe('file', path, file.key) };
  const inAgent = file.publicKey && held.find((key) => sameKey(key, file.publicKey));
  if (inAgent)
    return {
      ...nothing,
      identity: describe('agent', path, inAgent),
      notes: file.exposed ? [file.failure.message] : [],
    };
  if (isConfigured) return { ...nothing, failure: file.failure };
  return isMissing(file.failure) ? nothing : { ...nothing, notes: [file.failure.message] };
}

/** The reason for which a key may not be used, or null. */
function unfit({ keyType, key }: Identity, spec: ServerSpec): string | null {
  const bits = rsaBits(key.getPublicSSH());
  if (bits !== null && bits < spec.requiredRSASize)
    return `it is an RSA key of ${bits} bits, and requiredRSASize is ${spec.requiredRSASize}`;
  const accepted = spec.pubkeyAcceptedAlgorithms;
  const names = keyType === 'ssh-rsa' ? RSA_ALGORITHMS : [keyType];
  if (accepted === null || names.some((name) => accepted.includes(name))) return null;
  return `pubkeyAcceptedAlgorithms allows none of ${names.join(', ')}`;
}

/** The signature algorithms of an RSA key (RFC 8332). */
const RSA_ALGORITHMS = ['rsa-sha2-256', 'rsa-sha2-512', 'ssh-rsa'];

async function listHeld(agent: BoundedAgent | null, notes: string[]): Promise<ParsedKey[]> {
  if (agent === null) return [];
  try {
    return await listAgentKeys(agent);
  } catch (error) {
    notes.push(`identityAgent ${agent.path}: ${printable(errorText(error))}`);
    return [];
  }
}

async function loadPassword(path: string | null, failures: TunnelFailure[]): Promise<string | null> {
  if (path === null) return null;
  try {
    return await readSecretFile(path, 'passwordFile');
  } catch (error) {
    failures.push(asFailure(error));
    return null;
  }
}

/** The first failure determines the code, and so the hint; the message has them all. */
function throwFirst(failures: readonly TunnelFailure[], notes: readonly string[]): void {
  const [first] = failures;
  if (first === undefined) return;
  const messages = [...failures.map((failure) => failure.message), ...notes];
  throw new TunnelFailure(first.code, messages.join('; '), { cause: first });
}

function describe(source: Identity['source'], path: string | null, key: ParsedKey): Identity {
  const { type: keyType } = key;
  return { source, path, comment: printable(key.comment), keyType, fingerprint: fingerprint(key.getPublicSSH()), key };
}

function sameKey(a: ParsedKey, b: ParsedKey | null): boolean {
  return b !== null && a.getPublicSSH().equals(b.getPublicSSH());
}

/** Calls `ask` once, and only when the answer is needed. */
function lazily<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  return () => (answer ??= ask());
}
