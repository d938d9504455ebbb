import type { Client } from 'ssh2';
import { internalsOf } from '../ssh2/protocol/internals.ts';

/**
 * Limits RSA signatures to these algorithms (ssh_config(5), PubkeyAcceptedAlgorithms). ssh2 chooses among those that
 * the server announces (RFC 8308, server-sig-algs), and uses SHA-1 where it announces none: so ssh2 is shown the
 * allowed ones only. Call right after client.connect().
 */
export function limitSignatures(client: Client, allowed: readonly string[]): void {
  const { _protocol: protocol } = internalsOf(client);
  const handlers = protocol._handlers;
  const { EXT_INFO: hear, SERVICE_ACCEPT: begin } = handlers;
  let heard = false;
  const report = (announced: readonly string[]) => {
    heard = true;
    // OpenSSH 7.4 knows them and does not announce them: ssh2 would add them to any announcement.
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

/** Reports which signature algorithms the server announces, if it does. Call right after client.connect(). */
export function hearSignatures(client: Client, heard: (announced: readonly string[]) => void): void {
  const handlers = internalsOf(client)._protocol._handlers;
  const { EXT_INFO: before } = handlers;
  handlers.EXT_INFO = (protocol, extensions) => {
    const announced = extensions.find(({ name }) => name === SIGNATURES)?.algs;
    if (announced !== undefined) heard(announced);
    before(protocol, extensions);
  };
}

const SIGNATURES = 'server-sig-algs';

/** COMPAT.IMPLY_RSA_SHA2_SIGALGS of ssh2's constants. */
const IMPLY_RSA_SHA2 = 1 << 4;
