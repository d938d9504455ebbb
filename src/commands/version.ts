import { VERSION } from '../lib/version.ts';
import { nativeCodec } from '../connection/ssh2/packets/native.ts';

/** One line for people and bug reports; its second word is the version, for scripts. */
export function versionLine(): string {
  return `tunneld ${VERSION} (node ${process.version}, native crypto: ${nativeCodec() === null ? 'no' : 'yes'})`;
}
