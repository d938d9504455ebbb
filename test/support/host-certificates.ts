import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeRsaKey } from './rsa-key.ts';

const run = promisify(execFile);

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa';
export const KEY_KINDS: readonly KeyKind[] = ['ed25519', 'ecdsa', 'rsa'];

/** What counted: the certificate or the plain key. Or why the server was refused. */
export type Answer = 'certificate' | 'key' | 'unknown' | 'changed' | 'revoked';

/**
 * A server that shows a certificate: by default one of the authority CA, for the host that is reached, for the hour.
 * In lines and lists, CA, OTHER_CA, KEY, OTHER_KEY and CERTIFICATE stand for public keys.
 */
export interface CertificateCase {
  readonly title: string;
  readonly host?: string;
  readonly port?: number;
  readonly alias?: string;
  /** The names in the certificate. */
  readonly names?: string;
  readonly validity?: string;
  /** Further arguments of `ssh-keygen -s`. */
  readonly flags?: readonly string[];
  readonly authority?: 'OTHER_CA';
  readonly knownHosts?: readonly string[];
  /** A list of revoked keys, or what `ssh-keygen -k` makes a key revocation list of. */
  readonly revokedList?: string;
  readonly revocations?: string;
  readonly hostKeyAlgorithms?: string;
  readonly caSignatureAlgorithms?: string;
  readonly accepts: Answer;
  /** The answer of OpenSSH before a version, where it differs. */
  readonly older?: readonly [before: number, Answer];
  /** Only with an authority of this kind. */
  readonly only?: KeyKind;
}

export const HOST = 'relay.example.com';
const KNOWN = '@cert-authority * CA';
/** Every kind of key without a certificate, which ssh would leave out otherwise. */
const PLAIN = 'ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512';
const CERTIFIED =
  'ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com';

export const CASES: readonly CertificateCase[] = [
  { title: 'valid', accepts: 'certificate' },
  { title: 'valid for ever', validity: 'always:forever', accepts: 'certificate' },
  { title: 'valid, and the plain key is another', knownHosts: [KNOWN, `${HOST} OTHER_KEY`], accepts: 'certificate' },
  { title: 'expired', validity: '-2h:-1h', accepts: 'unknown' },
  { title: 'expired, the plain key known', validity: '-2h:-1h', knownHosts: [KNOWN, `${HOST} KEY`], accepts: 'key' },
  {
    title: 'expired, another plain key known',
    validity: '-2h:-1h',
    knownHosts: [KNOWN, `${HOST} OTHER_KEY`],
    accepts: 'changed',
  },
  { title: 'future', validity: '+1h:+2h', accepts: 'unknown' },
  { title: 'wrong name', names: 'mail.example.com', accepts: 'unknown' },
  {
    title: 'wrong name, the plain key known',
    names: 'a,b',
    knownHosts: [KNOWN, `${HOST} KEY`],
    accepts: 'key',
  },
  { title: 'one of several names', names: `mail.example.com,${HOST}`, accepts: 'certificate' },
  { title: 'capitals in the name', names: 'Relay.Example.com', accepts: 'unknown' },
  { title: 'user certificate', flags: ['-O', 'clear'], accepts: 'unknown' },
  { title: 'critical option', flags: ['-O', 'critical:x@example.com=1'], accepts: 'unknown' },
  { title: 'unknown extension', flags: ['-O', 'extension:x@example.com=1'], accepts: 'certificate' },
  { title: 'empty principals', names: '', accepts: 'unknown', older: [10.3, 'certificate'] },
  { title: 'wildcard', names: '*.example.com', accepts: 'certificate', older: [10.3, 'unknown'] },
  { title: 'wildcard of one character', names: 'rela?.example.com', accepts: 'certificate', older: [10.3, 'unknown'] },
  { title: 'wildcard for others', names: '*.example.org', accepts: 'unknown' },
  { title: 'IPv6', host: '2001:db8::1', names: '2001:db8::1', accepts: 'certificate' },
  {
    title: 'IPv6 at a port',
    host: '2001:db8::1',
    port: 2222,
    names: '2001:db8::1',
    knownHosts: ['@cert-authority [2001:db8::1]:2222 CA'],
    accepts: 'certificate',
  },
  { title: 'IPv6 of another host', host: '2001:db8::1', names: '2001:db8::2', accepts: 'unknown' },
  {
    title: 'port',
    port: 2222,
    knownHosts: [`@cert-authority [${HOST}]:2222 CA`],
    accepts: 'certificate',
  },
  {
    title: 'port, the line without it',
    port: 2222,
    knownHosts: [`@cert-authority ${HOST} CA`],
    accepts: 'certificate',
  },
  {
    title: 'port, the line with another',
    port: 2222,
    knownHosts: [`@cert-authority [${HOST}]:22 CA`],
    accepts: 'unknown',
  },
  { title: 'port in the name', port: 2222, names: `[${HOST}]:2222`, accepts: 'unknown' },
  { title: 'pattern in known_hosts', knownHosts: ['@cert-authority *.example.com CA'], accepts: 'certificate' },
  { title: 'excluded in known_hosts', knownHosts: [`@cert-authority *,!${HOST} CA`], accepts: 'unknown' },
  { title: 'alias', alias: 'the-relay', names: 'the-relay', accepts: 'certificate' },
  { title: 'alias, the name of the host', alias: 'the-relay', names: HOST, accepts: 'unknown' },
  { title: 'another authority', authority: 'OTHER_CA', accepts: 'unknown' },
  {
    title: 'another authority, the plain key known',
    authority: 'OTHER_CA',
    knownHosts: [KNOWN, `${HOST} KEY`],
    accepts: 'key',
  },
  { title: 'authority known as a host key', knownHosts: [`${HOST} CA`], accepts: 'changed' },
  { title: 'revoked authority', knownHosts: [KNOWN, `@revoked * CA`, `${HOST} KEY`], accepts: 'revoked' },
  { title: 'revoked key', knownHosts: [KNOWN, `@revoked ${HOST} KEY`], accepts: 'revoked' },
  { title: 'revoked certificate', knownHosts: [KNOWN, `@revoked * CERTIFICATE`], accepts: 'revoked' },
  { title: 'revoked for another host', knownHosts: [KNOWN, '@revoked mail.example.com CA'], accepts: 'certificate' },
  { title: 'list with the key', revokedList: 'KEY', accepts: 'revoked' },
  { title: 'list with the certificate', revokedList: 'CERTIFICATE', accepts: 'revoked' },
  { title: 'list with the authority', revokedList: 'CA', accepts: 'revoked' },
  { title: 'list of others', revokedList: 'OTHER_KEY', accepts: 'certificate' },
  { title: 'KRL with the key', revocations: 'KEY', accepts: 'revoked' },
  { title: 'KRL with the authority', revocations: 'CA', accepts: 'revoked' },
  { title: 'KRL with the serial', revocations: 'serial: 7', accepts: 'revoked' },
  { title: 'KRL with a range', revocations: 'serial: 5-9', accepts: 'revoked' },
  { title: 'KRL with many serials', revocations: range(1, 400, 3), accepts: 'revoked' },
  { title: 'KRL with many other serials', revocations: range(2, 400, 3), accepts: 'certificate' },
  { title: 'KRL with the id', revocations: 'id: relay 1', accepts: 'revoked' },
  { title: 'KRL with another id', revocations: 'id: relay', accepts: 'certificate' },
  { title: 'KRL with the digest of the key', revocations: 'sha256: KEY', accepts: 'revoked' },
  { title: 'only others sign', caSignatureAlgorithms: 'NONE_OF_CA', accepts: 'unknown' },
  {
    title: 'signed by SHA-1',
    only: 'rsa',
    flags: ['-t', 'ssh-rsa'],
    accepts: 'unknown',
  },
  {
    title: 'signed by SHA-1 where that is allowed',
    only: 'rsa',
    flags: ['-t', 'ssh-rsa'],
    caSignatureAlgorithms: '+ssh-rsa',
    accepts: 'certificate',
  },
  {
    title: 'plain keys not allowed',
    hostKeyAlgorithms: CERTIFIED,
    validity: '-2h:-1h',
    knownHosts: [KNOWN, `${HOST} KEY`],
    accepts: 'unknown',
    older: [9.8, 'key'],
  },
  {
    title: 'certificates not allowed',
    hostKeyAlgorithms: PLAIN,
    knownHosts: [KNOWN, `${HOST} KEY`],
    accepts: 'key',
  },
];

function range(from: number, to: number, step: number): string {
  const serials: string[] = [];
  for (let serial = from; serial <= to; serial += step) serials.push(`serial: ${serial}`);
  return serials.join('\n');
}

/** The files of one case. */
export interface CaseFiles {
  /** The private key of the server; its certificate is beside it. */
  readonly hostKey: string;
  readonly certificate: string;
  readonly knownHosts: string;
  readonly revokedHostKeys: readonly string[];
  readonly caSignatureAlgorithms: string | null;
}

export interface Authorities {
  /** Makes the files of a case, with an authority and a host key of these kinds. */
  prepare(one: CertificateCase, authority: KeyKind, hostKey: KeyKind): Promise<CaseFiles>;
}

/** Keys of these kinds in a folder, made once. */
export async function createAuthorities(dir: string, kinds = KEY_KINDS): Promise<Authorities> {
  const names = ['CA', 'OTHER_CA', 'KEY', 'OTHER_KEY'] as const;
  const fileOf = (name: (typeof names)[number], kind: KeyKind) => join(dir, `${name}-${kind}`);
  await Promise.all(
    names.flatMap((name) =>
      kinds.map(async (kind) => {
        if (kind === 'rsa') writeRsaKey(fileOf(name, kind), name);
        else await run('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', name, '-f', fileOf(name, kind)]);
      }),
    ),
  );
  let count = 0;
  return {
    prepare: async (one, authority, hostKey) => {
      const folder = join(dir, String((count += 1)));
      mkdirSync(folder);
      const file = join(folder, 'host');
      copyFileSync(fileOf('KEY', hostKey), file);
      copyFileSync(`${fileOf('KEY', hostKey)}.pub`, `${file}.pub`);
      const certificate = `${file}-cert.pub`;
      await run('ssh-keygen', ['-q', '-s', fileOf(one.authority ?? 'CA', authority), ...signing(one), `${file}.pub`]);
      const keys = new Map([
        ['CA', `${fileOf('CA', authority)}.pub`],
        ['OTHER_CA', `${fileOf('OTHER_CA', authority)}.pub`],
        ['KEY', `${file}.pub`],
        ['OTHER_KEY', `${fileOf('OTHER_KEY', hostKey)}.pub`],
        ['CERTIFICATE', certificate],
      ]);
      const filled = (text: string) =>
        text.replace(/\b(?:OTHER_)?(?:CA|KEY)\b|\bCERTIFICATE\b/g, (name) =>
          publicKey(keys.get(name) ?? assert.fail()),
        );
      const write = (name: string, text: string) => {
        writeFileSync(join(folder, name), `${text}\n`);
        return join(folder, name);
      };
      return {
        hostKey: file,
        certificate,
        knownHosts: write('known_hosts', (one.knownHosts ?? [KNOWN]).map(filled).join('\n')),
        revokedHostKeys: await revoked(one, { filled, write, authority: keys.get('CA') ?? assert.fail() }),
        caSignatureAlgorithms: one.caSignatureAlgorithms?.replace('NONE_OF_CA', othersThan(authority)) ?? null,
      };
    },
  };
}

function signing({ names = HOST, validity = '-1h:+1h', flags = [] }: CertificateCase): readonly string[] {
  const use = flags.includes('clear') ? [] : ['-h'];
  const principals = names === '' ? [] : ['-n', names];
  return [...use, '-I', 'relay 1', '-z', '7', '-V', validity, ...principals, ...flags];
}

async function revoked(
  { revokedList, revocations }: CertificateCase,
  {
    filled,
    write,
    authority,
  }: { filled: (text: string) => string; write: (name: string, text: string) => string; authority: string },
): Promise<readonly string[]> {
  if (revokedList !== undefined) return [write('revoked', filled(revokedList))];
  if (revocations === undefined) return [];
  const krl = write('krl', '');
  const list = write('revocations', filled(revocations));
  await run('ssh-keygen', ['-q', '-k', '-f', krl, '-s', authority, list]);
  return [krl];
}

function othersThan(kind: KeyKind): string {
  return kind === 'ed25519' ? 'ecdsa-sha2-nistp256' : 'ssh-ed25519';
}

/** The type and the key, without the comment. */
export function publicKey(file: string): string {
  return readFileSync(file, 'utf8').split(' ').slice(0, 2).join(' ').trim();
}

/** What ssh is to say of a case in a version, such as 9.2. */
export function expectedOf({ accepts, older }: CertificateCase, version: number): Answer {
  return older !== undefined && version < older[0] ? older[1] : accepts;
}

/** What ssh itself says of a case, whose server is an sshd that talks to it through pipes. */
export async function askSsh(
  one: CertificateCase,
  files: CaseFiles,
  { ssh = 'ssh', sshd = '/usr/sbin/sshd' } = {},
): Promise<Answer> {
  const config = `${files.knownHosts}.sshd`;
  const lines = [`HostKey ${files.hostKey}`, `HostCertificate ${files.certificate}`, 'UsePAM no', 'LogLevel QUIET'];
  writeFileSync(config, `${lines.join('\n')}\n`);
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const options = [
    `ProxyCommand=${sshd} -i -f ${config}`,
    `UserKnownHostsFile=${files.knownHosts}`,
    'GlobalKnownHostsFile=none',
    'StrictHostKeyChecking=yes',
    'PreferredAuthentications=none',
    'BatchMode=yes',
    `Port=${one.port ?? 22}`,
    ...(one.alias === undefined ? [] : [`HostKeyAlias=${one.alias}`]),
    ...files.revokedHostKeys.map((file) => `RevokedHostKeys=${file}`),
    ...(one.hostKeyAlgorithms === undefined ? [] : [`HostKeyAlgorithms=${one.hostKeyAlgorithms}`]),
    ...(files.caSignatureAlgorithms === null ? [] : [`CASignatureAlgorithms=${files.caSignatureAlgorithms}`]),
  ];
  const args = ['-v', '-F', 'none', ...options.flatMap((option) => ['-o', option]), one.host ?? HOST, 'true'];
  const log = await run(ssh, args).then(
    () => assert.fail('the login went through'),
    (error: { readonly stderr: string }) => error.stderr,
  );
  if (/Permission denied/.test(log))
    return /Found CA key in/.test(log) && !/Found key in/.test(log) ? 'certificate' : 'key';
  if (/REVOKED HOST KEY|revoked by file/.test(log)) return 'revoked';
  if (/IDENTIFICATION HAS CHANGED/.test(log)) return 'changed';
  assert.match(log, /host key is known for|not permitted by HostkeyAlgorithms/, log);
  return 'unknown';
}
