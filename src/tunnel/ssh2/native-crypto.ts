import { createRequire } from 'node:module';

/** Whether ssh2 will find its compiled part. Asks without loading ssh2, which would take most of the time of --version. */
export function hasNativeCrypto(): boolean {
  try {
    createRequire(import.meta.url)(COMPILED);
    return true;
  } catch {
    return false; // not there, or made for another processor or another Node: ssh2 does without it as well
  }
}

const COMPILED = 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node';
