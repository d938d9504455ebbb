import { join, resolve } from 'node:path';
import type { ConfigEnvironment } from '../input/environment.ts';
import type { Findings } from '../input/findings.ts';
import { BadValue } from '../values/value.ts';
import { canonicalHost } from './canonical.ts';
import { EffectiveOptions } from './effective.ts';
import { BadFile } from './file.ts';
import type { SshOption } from './option.ts';
import { lowerCase } from '../../lib/text.ts';
import { Reading } from './reading.ts';
import { Report, Stop } from './report.ts';
import { hostSoFar, type Pass } from './subject.ts';
import { type Source, walk } from './walk.ts';

/** What to look up in the files. */
export interface SshConfigRequest {
  /** The host as the user named it, which `Host` is matched with. */
  readonly host: string;
  /** -F: a file, `none`, or null for ~/.ssh/config and then /etc/ssh/ssh_config. */
  readonly file: string | null;
  /** Options of the command line, which precede the files; Match sees them. */
  readonly first: readonly SshOption[];
  readonly env: ConfigEnvironment;
  /** Whether the tunnel's own keys set a proxy or a jump host. */
  readonly proxied?: boolean;
  /** Instead of /etc/ssh/ssh_config. */
  readonly systemFile?: string;
  /** Shared where the same files are read for several hosts. */
  readonly reading?: Reading;
}

/**
 * Reads OpenSSH's client configuration for a host as ssh does (ssh_config(5)), without running anything or asking the DNS. Resolves with the
 * effective options, in the order of reading: of most keywords the first line only, of some (IdentityFile) all lines. With problems, ssh
 * would not connect.
 */
export async function readSshConfig(request: SshConfigRequest, findings: Findings): Promise<readonly SshOption[]> {
  const report = new Report(findings);
  const effective = new EffectiveOptions();
  try {
    for (const option of request.first) addFirst(option, effective, report);
    await readAll(request, effective, report);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  report.end();
  return effective.list();
}

function addFirst(option: SshOption, effective: EffectiveOptions, report: Report): void {
  try {
    effective.add(option);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    report.problem(option.origin, `${option.key} ${error.message}`);
  }
}

/** Reads the files a second time where `Match final` or canonicalization asks for it, with the final name (ssh.c). */
async function readAll(request: SshConfigRequest, effective: EffectiveOptions, report: Report): Promise<void> {
  let wantsFinal = false;
  const onFinal = () => (wantsFinal = true);
  const { host: originalHost, env, reading = new Reading() } = request;
  const pass: Pass = { originalHost, finalHost: null, env, effective, report, reading, onFinal };
  await readOnce(request, pass);
  const name = hostSoFar(pass);
  const { host, enabled, problem } = canonicalHost(name, effective, request.proxied ?? false);
  if (problem !== null) report.problem(problem.option.origin, problem.message);
  if (report.hasProblems()) return;
  if (host !== name && host !== lowerCase(name)) effective.rename(host);
  if (!wantsFinal && !enabled) return;
  effective.lock('hostname');
  await readOnce(request, { ...pass, finalHost: host });
}

async function readOnce(request: SshConfigRequest, pass: Pass): Promise<void> {
  const systemFile = resolve(request.systemFile ?? '/etc/ssh/ssh_config');
  if (request.file === null) {
    const path = join(request.env.home, '.ssh/config');
    await readDefault({ path, ofUser: true, checkOwner: true, systemFile }, pass);
    await readDefault({ path: systemFile, ofUser: false, checkOwner: false, systemFile }, pass);
  } else if (request.file.toLowerCase() !== 'none') {
    const source = { path: resolve(request.file), ofUser: true, checkOwner: false, systemFile };
    await walk(source, pass).catch((error: unknown) => reportFile(error, source, pass));
  }
}

/** The default files are optional, and ssh ignores those that it may not open. */
async function readDefault(source: Source, pass: Pass): Promise<void> {
  try {
    await walk(source, pass);
  } catch (error) {
    if (!(error instanceof BadFile)) throw error;
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return;
    if (error.code !== 'EACCES') return reportFile(error, source, pass);
    pass.report.note({ file: source.path, line: 1, column: 1 }, `${error.message}; it was skipped`);
  }
}

function reportFile(error: unknown, source: Source, { report }: Pass): void {
  if (!(error instanceof BadFile)) throw error;
  report.problem({ file: source.path, line: error.line, column: 1 }, error.message);
}
