import type { ParsedKey } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import { errorText, printable, firstFew } from '../../lib/text.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { certificateName } from '../../model/algorithms.ts';
import { fingerprint, keyTypeOf, rsaBits } from '../known-hosts/key-blob.ts';
import { isMissing, readSecretFile } from './secret-file.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { readCertificate, type Certificate } from '../ssh/certificate.ts';
import { BoundedAgent, type HeldKey } from './agent.ts';
import { certificateOf, readCertificateFile } from './certificate-file.ts';
import { parsePublicBlob } from './key-file.ts';
import type { IdentityCache } from './identity-cache.ts';
import { askSecret, type Person } from './person.ts';
import { type LoadedFile, loadIdentityFile } from './identity-file.ts';

/** One key for the login, by itself or with a certificate. */
export interface Identity {
  /** Where the private key is. */
  readonly source: 'file' | 'agent';
  /** The configured file, or null for a key that only the agent has. */
  readonly path: string | null;
  readonly comment: string;
  /** That of the certificate, where there is one. */
  readonly keyType: string;
  /** Of the key, also where there is a certificate, as `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  readonly publicKey: Buffer;
  /** The private key; null where the agent has it. */
  readonly key: ParsedKey | null;
  /** By what the agent knows the private key: the public key, or a certificate of it. Null without an agent. */
  readonly heldAs: Buffer | null;
  readonly certificate: IdentityCertificate | null;
}

export interface IdentityCertificate {
  /** Null for one that only the agent has. */
  readonly path: string | null;
  readonly certificate: Certificate;
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
  const usesKeys = spec.authentications.includes('publickey');
  const agent = !usesKeys || spec.identityAgent === null ? null : new BoundedAgent(spec.identityAgent, clock);
  const held = await listHeld(agent, notes);
  const passphrase = lazily(async () =>
    spec.passphraseFile === null ? null : readSecretFile(spec.passphraseFile, 'passphraseFile'),
  );
  const reading: Reading = { spec, held, passphrase, cache, person, failures, notes };
  const identities = usesKeys ? fitting(await offers(reading), reading) : [];
  if (agent !== null && identities.length === 0) notes.push(...describeUnused(agent, held, spec));

  const usesPassword = spec.authentications.some((method) => method !== 'publickey');
  const password = await loadPassword(usesPassword ? spec.passwordFile : null, failures);

  if (identities.length === 0 && password === null && person === null) throwFirst(failures, notes);
  notes.push(...failures.map((failure) => failure.message));
  return { identities, agent, password, notes };
}

/**
 * Everything that could be offered, in ssh's order (pubkey_prepare in sshconnect2.c): the configured certificates, and the configured
 * keys, each followed by the certificate beside it where none is configured; then the agent's other keys, which come last because
 * sshd disconnects after MaxAuthTries, 6 by default.
 */
async function offers(reading: Reading): Promise<readonly Identity[]> {
  const { spec, held, failures } = reading;
  const ofFiles: Identity[] = [];
  for (const path of spec.identityFiles) {
    const identity = await readIdentity(path, reading);
    if (identity === null) continue;
    ofFiles.push(identity);
    if (spec.certificateFiles.length === 0) ofFiles.push(...(await certificateBeside(path, identity, reading)));
  }
  const others = spec.identitiesOnly ? [] : held.flatMap(ofAgent);
  const configured: Identity[] = [];
  for (const path of spec.certificateFiles) {
    const certificate = await readCertificateFile(path);
    if (certificate instanceof TunnelFailure) {
      failures.push(certificate);
      continue;
    }
    const owner = [...ofFiles, ...others].find(({ publicKey }) => publicKey.equals(certificate.key));
    if (owner !== undefined) configured.push(certified(owner, { path, certificate }));
    else {
      const text = `has no private key here: it is for ${fingerprint(certificate.key)}, which is neither of identityFile nor of the agent`;
      failures.push(new TunnelFailure('key-unreadable', `certificateFile ${path} ${text}`));
    }
  }
  return [...configured, ...ofFiles, ...others];
}

/** The certificate that ssh-keygen and others write beside a key, where there is one. */
async function certificateBeside(path: string, identity: Identity, { notes }: Reading): Promise<readonly Identity[]> {
  const file = certificateOf(path);
  const certificate = await readCertificateFile(file);
  if (certificate instanceof TunnelFailure) {
    if (!isMissing(certificate)) notes.push(certificate.message);
    return [];
  }
  if (certificate.key.equals(identity.publicKey)) return [certified(identity, { path: file, certificate })];
  notes.push(`the certificate ${file} is not offered: it is for another key, ${fingerprint(certificate.key)}`);
  return [];
}

function certified(identity: Identity, certificate: IdentityCertificate): Identity {
  return { ...identity, keyType: certificate.certificate.type, certificate };
}

/** A key or a certificate that an agent holds, if a login can use it. */
function ofAgent(held: HeldKey): readonly Identity[] {
  const certificate = readCertificate(held.blob);
  if (certificate !== null) {
    if (certificate.use !== 'user') return [];
    const identity = describeHeld(null, { blob: certificate.key, comment: held.comment }, held.blob);
    return [certified(identity, { path: null, certificate })];
  }
  return parsePublicBlob(held.blob) === null ? [] : [describeHeld(null, held, held.blob)];
}

/** Each once, without those that may not be used. */
function fitting(offered: readonly Identity[], { spec, failures, notes }: Reading): readonly Identity[] {
  const found = new Map<string, Identity>();
  for (const identity of offered) {
    const { path, comment, fingerprint: print, certificate } = identity;
    const id = `${print} ${certificate?.certificate.blob.toString('base64') ?? ''}`;
    if (found.has(id)) continue;
    const why = unfit(identity, spec);
    if (why === null) found.set(id, identity);
    else if (certificate?.path != null) notes.push(`the certificate ${certificate.path} is not offered: ${why}`);
    else if (path === null || !spec.identityFilesConfigured)
      notes.push(`the key ${path ?? `${comment} of the agent`} is not offered: ${why}`);
    else failures.push(new TunnelFailure('key-unreadable', `identityFile ${path} is not offered: ${why}`));
  }
  return [...found.values()];
}

/** Why no key of an agent is offered. */
function describeUnused({ path }: BoundedAgent, held: readonly HeldKey[], spec: ServerSpec): readonly string[] {
  if (held.length === 0) return [`the agent ${path} holds no key`];
  const usable = held.filter((key) => ofAgent(key).length > 0);
  if (usable.length > 0 && spec.identitiesOnly)
    return [`the agent ${path} holds ${count(usable.length)}, none of them of identityFile, and identitiesOnly is yes`];
  const others = held.filter((key) => !usable.includes(key));
  if (others.length === 0) return [];
  const names = firstFew(others.map(describeUnusable), MAX_NAMED).join(', ');
  const all = usable.length === 0 ? 'only ' : '';
  return [`the agent ${path} holds ${all}what cannot be used to log in: ${names}`];
}

function describeUnusable({ blob, comment }: HeldKey): string {
  const certificate = readCertificate(blob);
  const kind = certificate === null ? keyTypeOf(blob) : `a ${certificate.use} certificate`;
  return `${kind} ${fingerprint(blob)} (${printable(comment, 100)})`;
}

function count(keys: number): string {
  return keys === 1 ? 'one key' : `${keys} keys`;
}

const MAX_NAMED = 5;

interface Reading {
  readonly spec: ServerSpec;
  readonly held: readonly HeldKey[];
  readonly passphrase: () => Promise<string | null>;
  readonly cache: IdentityCache;
  readonly person: Person | null;
  /** What cannot be used of what is configured; and of the rest, for a warning. */
  readonly failures: TunnelFailure[];
  readonly notes: string[];
}

/**
 * The key of an identity file, with a passphrase from a person where there is no other: its own, or the agent's where the agent has it;
 * else null, and the problem with it is noted.
 */
async function readIdentity(path: string, reading: Reading): Promise<Identity | null> {
  const { spec, held, passphrase, cache, person, failures, notes } = reading;
  const inAgent = (of: LoadedFile) => of.key === null && of.publicKey !== null && heldFor(of.publicKey.blob, held);
  let file = await loadIdentityFile(path, spec.passphraseFile, passphrase, cache);
  if (person !== null && file.key === null && file.failure.code === 'key-passphrase' && !inAgent(file)) {
    const typed = () => askSecret(person, `Enter the passphrase of the key ${path} (empty: without this key): `);
    file = await loadIdentityFile(path, TYPED, typed, cache);
  }
  if (file.key !== null) return describeFile(path, file.key);
  const { failure, publicKey, exposed } = file;
  const found = inAgent(file);
  if (publicKey && found) {
    if (exposed) notes.push(failure.message);
    return describeHeld(path, { ...publicKey, comment: found.comment }, found.blob);
  }
  if (spec.identityFilesConfigured) failures.push(failure);
  else if (!isMissing(failure)) notes.push(failure.message);
  return null;
}

/** Stands for passphraseFile where a person types the passphrase. */
const TYPED = '';

/** The reason for which a key may not be used, or null. */
function unfit({ keyType, publicKey, certificate }: Identity, spec: ServerSpec): string | null {
  const bits = rsaBits(publicKey);
  if (bits !== null && bits < spec.requiredRSASize)
    return `it is an RSA key of ${bits} bits, and requiredRSASize is ${spec.requiredRSASize}`;
  const accepted = spec.pubkeyAcceptedAlgorithms;
  const names = namesOf(certificate, keyType);
  if (accepted === null || names.some((name) => accepted.includes(name))) return null;
  return `pubkeyAcceptedAlgorithms allows none of ${names.join(', ')}`;
}

/** The signature algorithms of an RSA key (RFC 8332). */
const RSA_ALGORITHMS = ['rsa-sha2-256', 'rsa-sha2-512', 'ssh-rsa'];

/** The algorithms by which an identity can be offered. */
function namesOf(certificate: IdentityCertificate | null, keyType: string): readonly string[] {
  if (certificate === null) return keyType === 'ssh-rsa' ? RSA_ALGORITHMS : [keyType];
  const { keyType: inside } = certificate.certificate;
  return inside === 'ssh-rsa' ? RSA_ALGORITHMS.slice(0, 2).map(certificateName) : [keyType];
}

async function listHeld(agent: BoundedAgent | null, notes: string[]): Promise<HeldKey[]> {
  if (agent === null) return [];
  try {
    return await agent.list();
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

function describeFile(path: string, key: ParsedKey): Identity {
  const publicKey = key.getPublicSSH();
  return { ...describe(path, { blob: publicKey, comment: key.comment }), source: 'file', key, heldAs: null };
}

/** `heldAs` is what the agent calls it. */
function describeHeld(path: string | null, key: HeldKey, heldAs: Buffer): Identity {
  return { ...describe(path, key), source: 'agent', key: null, heldAs };
}

function describe(path: string | null, { blob, comment }: HeldKey) {
  const [keyType, print] = [keyTypeOf(blob), fingerprint(blob)];
  return { path, comment: printable(comment), keyType, fingerprint: print, publicKey: blob, certificate: null };
}

/** A key of the agent, as itself or else within a certificate: an agent signs with either. */
function heldFor(publicKey: Buffer, held: readonly HeldKey[]): HeldKey | undefined {
  return (
    held.find(({ blob }) => blob.equals(publicKey)) ??
    held.find(({ blob }) => readCertificate(blob)?.key.equals(publicKey) === true)
  );
}

/** Calls `ask` once, and only when the answer is needed. */
function lazily<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  return () => (answer ??= ask());
}
