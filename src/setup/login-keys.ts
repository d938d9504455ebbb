import { certificateFacts } from '../connection/auth/certificate-facts.ts';
import { certificateFiles, readCertificateFile } from '../connection/auth/certificate-file.ts';
import { isMissing } from '../connection/auth/secret-file.ts';
import { keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import type { Certificate } from '../connection/ssh/certificate.ts';
import { WireReader } from '../connection/ssh/wire-reader.ts';
import type { Clock } from '../lib/async/clock.ts';
import { escapeControls } from '../lib/text.ts';
import { UserError } from '../lib/user-error.ts';
import { certificateProblem, forbidsForwards } from '../model/certificate.ts';
import { TunnelFailure } from '../model/failure.ts';
import type { ServerSpec, TunnelSpec } from '../model/spec.ts';
import type { KeyCertificate, PublicKey } from '../server-rules/server-setup.ts';
import { publicKeyOf, type PublicKeys, readPublicKeys } from './public-key.ts';
import { orElse } from '../lib/or-else.ts';

type LoginSpec = Parameters<typeof readPublicKeys>[0] & Pick<ServerSpec, 'user' | 'certificateFiles' | 'identityAgent'>;

/**
 * The keys that a tunnel logs in with, each with its certificates. Rejects with a UserError where there is none, and where a server that
 * is set up for a certificate would refuse it.
 */
export async function readLoginKeys(spec: LoginSpec, clock: Clock): Promise<PublicKeys> {
  const { certificates, unread: damaged } = await readCertificates(spec);
  const found = await readPublicKeys(spec).catch((error: unknown) => {
    // The private key of a certificate may be in hardware, behind an agent.
    if (certificates.length === 0 || !(error instanceof UserError) || !mayBeInAgent(spec)) throw error;
    // What the server has for a key that could not be read here is not for us to remove.
    const isNamed = spec.identityFilesConfigured && spec.identityFiles.length > 0;
    return { keys: [], unread: isNamed ? [error.message] : [] };
  });
  const unread = [...found.unread, ...damaged];
  const keys = new Map<string, PublicKey>(found.keys.map((key) => [key.base64, key]));
  for (const { path, certificate } of certificates) {
    const base64 = certificate.key.toString('base64');
    const key = keys.get(base64) ?? publicKeyOf(certificate.key, certificate.keyId);
    if (keys.has(base64) || mayBeInAgent(spec))
      keys.set(base64, certified(key, { path, certificate }, spec.user, clock));
    else unread.push(`the certificate ${escapeControls(path)} is for another key, ${key.fingerprint}`);
  }
  const [first, ...rest] = keys.values();
  if (first === undefined) throw new UserError(unread.join('; '));
  return { keys: [first, ...rest], unread };
}

/** Of one that is named, as ssh takes it. */
function mayBeInAgent({ identityAgent, certificateFiles }: LoginSpec): boolean {
  return identityAgent !== null && certificateFiles.length > 0;
}

interface FoundCertificate {
  readonly path: string;
  readonly certificate: Certificate;
}

/** Without the authority's key, nothing can be written for a certificate that is configured. */
async function readCertificates(
  spec: LoginSpec,
): Promise<{ readonly certificates: readonly FoundCertificate[]; readonly unread: readonly string[] }> {
  const certificates: FoundCertificate[] = [];
  const unread: string[] = [];
  for (const path of certificateFiles(spec)) {
    const certificate = await readCertificateFile(path);
    if (!(certificate instanceof TunnelFailure)) certificates.push({ path, certificate });
    else if (spec.certificateFiles.length > 0)
      throw new UserError(
        `${escapeControls(certificate.message)}; the server is to trust its authority, whose key is in it`,
      );
    else if (!isMissing(certificate)) unread.push(escapeControls(certificate.message));
  }
  return { certificates, unread };
}

/** Throws a UserError for a tunnel that logs in by a certificate: `command` makes a key, and only an authority certifies one. */
export async function requirePlainKeys(spec: LoginSpec & Pick<TunnelSpec, 'name'>, command: string): Promise<void> {
  const { certificates } = await readCertificates(spec);
  const [first] = certificates;
  if (first === undefined) return;
  throw new UserError(
    `${spec.name} logs in by the certificate ${escapeControls(first.path)}, and ${command} makes a key without one: make a key (ssh-keygen -t ed25519 -N '' -f FILE), have the authority certify it, name both (identityFile, certificateFile), and run \`sudo tunneld reload\`; a server that \`server-setup\` has set up for certificates needs nothing, where the names in the new one are the same`,
  );
}

/** The key with one more certificate, as far as a server would take it. */
export function certified(key: PublicKey, found: FoundCertificate, user: string, clock: Clock): PublicKey {
  return { ...key, certificates: [...(key.certificates ?? []), keyCertificate(found, user, clock)] };
}

function keyCertificate(found: FoundCertificate, user: string, clock: Clock): KeyCertificate {
  const { path, certificate } = found;
  const facts = certificateFacts(found);
  const wall = clock.wall();
  const problem = certificateProblem(facts, wall);
  if (facts.validUntil !== null && wall >= facts.validUntil)
    throw new UserError(
      `${escapeControls(problem ?? '')} (a server that is set up for it now would lock the tunnel out)`,
    );
  // Its own name is all that sshd asks for where the line names none.
  const principals = certificate.principals.includes(user) ? [user] : certificate.principals.filter(isWritable);
  if (principals.length === 0)
    throw new UserError(
      `the certificate ${escapeControls(path)} is for no name that can be written into authorized_keys: have it signed for ${user} (ssh-keygen -n ${user})`,
    );
  const names = principals.join(' or ');
  return {
    authority: { type: keyTypeOf(certificate.authority), base64: certificate.authority.toString('base64') },
    principals,
    hasCommand: certificate.criticalOptions.some(({ name, data }) => name === 'force-command' && !isNothing(data)),
    notes: [
      `The key is let in by its certificate alone, which has to be valid: ${escapeControls(path)}. So is every other key that the authority ${facts.authority} certifies for ${names}.`,
      ...[problem, forbidsForwards(facts)].flatMap((text) => (text === null ? [] : [`Now, ${escapeControls(text)}.`])),
    ],
  };
}

/** A list in quotes (sshd(8), AUTHORIZED_KEYS FILE FORMAT), in a script of which a person reads every character. */
function isWritable(principal: string): boolean {
  return /^[\w.@:/+=-]{1,200}$/.test(principal);
}

/** Whether a forced command is the one of the line. */
function isNothing(data: Buffer): boolean {
  return orElse(() => new WireReader(data).text() === 'false', false);
}
