import assert from 'node:assert/strict';
import { prepareHostKeyVerifier, type HostKeyVerifier } from '../../src/connection/known-hosts/host-key-verifier.ts';
import { readCertificate } from '../../src/connection/ssh/certificate.ts';
import { verifySignature } from '../../src/connection/ssh/signature.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { CASES, createAuthorities, HOST, KEY_KINDS, publicKey } from '../support/host-certificates.ts';
import { plainSpec } from '../support/tunnel.ts';
import { createExchanger } from './exchanges.ts';
import { createDice, type Dice } from './messages.ts';
import { mutated } from './mutate.ts';

/** What came of proofs that were changed: those that were accepted, or took too long, or threw. */
export interface ProofsReport {
  readonly exchanges: number;
  readonly certificates: number;
  readonly signatures: number;
  readonly longestMs: number;
  readonly rssMiB: number;
  /** How key exchanges ended, and how often. */
  readonly endings: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

/**
 * Changes so many replies of key exchanges, host certificates and signatures, in `dir`, a third of each; none of them
 * may be accepted, or take more than `maxMs` of processor time. What is not changed is accepted, or nothing was tried.
 */
export async function fuzzProofs(dir: string, count: number, seed: number, maxMs = Infinity): Promise<ProofsReport> {
  const findings: string[] = [];
  const onUncaught = (error: unknown) => findings.push(`uncaught: ${String(error)}`);
  process.on('uncaughtException', onUncaught).on('unhandledRejection', onUncaught);
  const share = Math.ceil(count / 3);
  const endings = new Map<string, number>();
  const exchanger = createExchanger();
  let longest = 0;
  let rss = 0;
  const timed = async <T>(what: string, work: () => T | Promise<T>): Promise<T> => {
    const began = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(began);
    const ms = (user + system) / 1000;
    longest = Math.max(longest, ms);
    if (ms > maxMs) findings.push(`${what}: ${ms} ms`);
    return result;
  };
  const tryEach = async (kind: string, accept: (dice: Dice, change: boolean) => boolean | Promise<boolean>) => {
    for (let run = 0; run < 12; run++)
      if (!(await accept(createDice(seed + run), false))) findings.push(`${kind} ${run}: not accepted as it was`);
    for (let run = 0; run < share; run++) {
      if (await accept(createDice(seed + run), true)) findings.push(`${kind}, seed ${seed + run}: accepted`);
      if (run % 100 === 0) rss = Math.max(rss, process.memoryUsage.rss());
    }
  };
  await tryEach('exchange', async (dice, change) => {
    const { accepted, ending } = await timed('exchange', () => exchanger.exchange(dice, change));
    const kind = ending
      .replace(/\d+/g, 'N')
      .replace(/(signature type: ).*/s, '$1…')
      .slice(0, 90);
    if (change) endings.set(kind, (endings.get(kind) ?? 0) + 1);
    return accepted;
  });
  const certificates = await makeCertificates(dir);
  await tryEach('certificate', (dice, change) => {
    const { verifier, shown, others } = dice.pick(certificates);
    const blob = change ? mutated(dice, shown, others) : shown;
    return timed('certificate', () => verifier.verify(blob) === null);
  });
  await tryEach('signature', (dice, change) => {
    const [{ authority, data, signature }, ...others] = dice.pick(certificates).signatures;
    const changed = change
      ? mutated(
          dice,
          signature,
          others.map((other) => other.signature),
        )
      : signature;
    return timed('signature', () => verifySignature(authority, data, changed));
  });
  process.off('uncaughtException', onUncaught).off('unhandledRejection', onUncaught);
  return {
    exchanges: share,
    certificates: share,
    signatures: share,
    longestMs: Math.round(longest * 10) / 10,
    rssMiB: Math.round(rss / 2 ** 20),
    endings: Object.fromEntries([...endings].toSorted(([, a], [, b]) => b - a)),
    findings,
  };
}

interface ShownCertificate {
  readonly verifier: HostKeyVerifier;
  readonly shown: Buffer;
  /** Of the same authority for other hosts and keys. */
  readonly others: readonly Buffer[];
  /** The authority's under all of them. */
  readonly signatures: readonly [Signed, ...Signed[]];
}

interface Signed {
  readonly authority: Buffer;
  readonly data: Buffer;
  readonly signature: Buffer;
}

async function makeCertificates(dir: string): Promise<readonly ShownCertificate[]> {
  const authorities = await createAuthorities(dir);
  const [valid] = CASES;
  const made: ShownCertificate[] = [];
  for (const authority of KEY_KINDS)
    for (const hostKey of KEY_KINDS) {
      const files = await authorities.prepare(valid!, authority, hostKey);
      const others = await Promise.all(
        [{ names: 'mail.example.com' }, { validity: '-2h:-1h' }, { flags: ['-O', 'clear'] }].map((change) =>
          authorities.prepare({ ...valid!, ...change }, authority, hostKey),
        ),
      );
      const spec = { ...plainSpec(), host: HOST, userKnownHostsFiles: [files.knownHosts], globalKnownHostsFiles: [] };
      const [shown, ...more] = [files, ...others].map(({ certificate }) => blobIn(certificate));
      made.push({
        verifier: await prepareHostKeyVerifier(
          spec,
          createLogger('fatal', () => {}),
        ),
        shown: shown!,
        others: more,
        signatures: [signedBy(shown!), ...more.map(signedBy)],
      });
    }
  return made;
}

function signedBy(blob: Buffer): Signed {
  const { authority, signature } = readCertificate(blob) ?? assert.fail();
  return { authority, data: blob.subarray(0, -signature.length - 4), signature };
}

function blobIn(file: string): Buffer {
  return Buffer.from(publicKey(file).split(' ')[1] ?? '', 'base64');
}
