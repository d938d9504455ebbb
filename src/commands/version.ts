import { VERSION } from '../lib/version.ts';
import { hasNativeCrypto } from '../connection/ssh2/native-crypto.ts';

/** One line for people and bug reports; its second word is the version, for scripts. */
export function versionLine(): string {
  return `tunneld ${VERSION} (node ${process.version}, native crypto: ${hasNativeCrypto() ? 'yes' : 'no'})`;
}
