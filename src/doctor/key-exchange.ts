import { isPostQuantum } from '../model/algorithms.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { StepResult } from './types.ts';

/**
 * The algorithms agreed on, with advice where a recording of the connection can be read once there are quantum
 * computers; ssh warns of the same (OpenSSH 10.1, WarnWeakCrypto). `software` is the server's version, where it is known.
 */
export function algorithmsStep(
  seen: string,
  keyExchange: string,
  software: string,
  { kexAlgorithms }: Pick<TunnelSpec, 'kexAlgorithms'>,
): StepResult {
  if (isPostQuantum(keyExchange)) return ['algorithms', 'ok', seen];
  const cure =
    kexAlgorithms !== null && !kexAlgorithms.some(isPostQuantum)
      ? 'Remove kexAlgorithms here, which allows no other key exchange.'
      : cureOnServer(software);
  return ['algorithms', 'warn', `${seen}; a quantum computer could decrypt what is recorded today`, cure];
}

function cureOnServer(software: string): string {
  const [, major, minor] = /^OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)/.exec(software) ?? [];
  if (major === undefined)
    return `Update the server${software === '' ? '' : ` (${software})`}: OpenSSH since 9.0 and Dropbear since 2025 have such a key exchange.`;
  const version = Number(major) * 100 + Number(minor);
  if (version < FIRST) return `Update the server's OpenSSH ${major}.${minor} to 9.0 or later.`;
  return version < DEFAULT
    ? `Add to the server's sshd_config: KexAlgorithms +${SNTRUP}`
    : `Add ${SNTRUP} to KexAlgorithms in the server's sshd_config, which leaves it out.`;
}

/** The releases of OpenSSH that have it, and that have it by default. */
const FIRST = 805;
const DEFAULT = 900;
const SNTRUP = 'sntrup761x25519-sha512@openssh.com';
