import { certificateFacts } from '../connection/auth/certificate-facts.ts';
import { readCertificateFile } from '../connection/auth/certificate-file.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import { certificateProblem, warnedFrom, type CertificateFacts } from '../model/certificate.ts';
import { TunnelFailure } from '../model/failure.ts';
import type { Store } from './store.ts';

/**
 * Warns before the certificate of the login ends, unless a new one has taken its place. Sleeps until then: what is renewed in time costs
 * one look a life. Never resolves.
 */
export async function watchCertificate(
  ofLogin: CertificateFacts,
  { clock, log, store }: { readonly clock: Clock; readonly log: Logger; readonly store: Pick<Store, 'dispatch'> },
  signal: AbortSignal,
): Promise<never> {
  let certificate = ofLogin;
  let warned: string | null = null;
  for (;;) {
    if (certificateProblem(certificate, clock.wall()) !== null) certificate = await readAgain(certificate);
    const wall = clock.wall();
    const problem = certificateProblem(certificate, wall);
    // Each text of it has the time that is left.
    if ((problem === null) !== (warned === null)) {
      if (problem === null) log.info('the certificate was renewed');
      else log.warn(problem);
    }
    if (problem !== warned || certificate !== ofLogin)
      store.dispatch({ type: 'watched', change: { certificate, certificateProblem: problem } });
    warned = problem;
    const next = problem === null ? (warnedFrom(certificate) ?? Infinity) - wall : LOOK_AGAIN_MS;
    await sleep(clock, Math.min(next, MAX_SLEEP_MS), signal);
  }
}

/** How soon a certificate that should be renewed is looked at again. */
const LOOK_AGAIN_MS = 600_000;

/** The clock of the day may be set meanwhile. */
const MAX_SLEEP_MS = 86_400_000;

/** What is in its file now; the same where that holds no certificate. */
async function readAgain(certificate: CertificateFacts): Promise<CertificateFacts> {
  const { file } = certificate;
  if (file === null) return certificate;
  const found = await readCertificateFile(file);
  return found instanceof TunnelFailure ? certificate : certificateFacts({ path: file, certificate: found });
}
