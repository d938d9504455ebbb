import type { Client } from 'ssh2';
import { internalsOf } from '../ssh2/protocol/internals.ts';

/**
 * Has RSA keys sign with these algorithms alone (ssh_config(5), PubkeyAcceptedAlgorithms). ssh2 chooses among what the server says
 * that it takes (RFC 8308, server-sig-algs), and takes SHA-1 where it says nothing: so it hears of the allowed ones only. To be
 * called right after client.connect().
 */
export function limitSignatures(client: Client, allowed: readonly string[]): void {
  const { _protocol: protocol } = internalsOf(client);
  const handlers = protocol._handlers;
  const { EXT_INFO: hear, SERVICE_ACCEPT: begin } = handlers;
  let heard = false;
  const report = (announced: readonly string[]) => {
    heard = true;
    // A server that knows them and does not say so (OpenSSH 7.4): ssh2 would add them to whatever it hears.
    const implied = (protocol._compatFlags & IMPLY_RSA_SHA2) === 0 ? [] : ['rsa-sha2-256', 'rsa-sha2-512'];
    protocol._compatFlags &= ~IMPLY_RSA_SHA2;
    hear(protocol, [{ name: SIGNATURES, algs: [...implied, ...announced].filter((name) => allowed.includes(name)) }]);
  };
  handlers.EXT_INFO = (_, extensions) => {
    const announced = extensions.find(({ name }) => name === SIGNATURES)?.algs;
    if (announced !== undefined) report(announced);
  };
  handlers.SERVICE_ACCEPT = (_, name) => {
    if (!heard) report(['ssh-rsa']);
    begin(protocol, name);
  };
}

const SIGNATURES = 'server-sig-algs';

/** COMPAT.IMPLY_RSA_SHA2_SIGALGS of ssh2's constants. */
const IMPLY_RSA_SHA2 = 1 << 4;
