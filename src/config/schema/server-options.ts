import { readAlgorithms } from '../values/algorithm-list.ts';
import { readConnectLimit } from '../values/connect-limit.ts';
import { readDuration, readDurationFrom } from '../values/duration.ts';
import { readAddress, readHost } from '../values/host.ts';
import { paths, type Place, readAgent, readPath, spacedPaths } from '../values/path.ts';
import { readKeyAlgorithms, readMethods, readPubkeyAuthentication, readRekeyLimit } from '../values/restrictions.ts';
import { BadValue, readInteger, readOneOf, readWord, readYesNo, value } from '../values/value.ts';

/** The keys that say which server it is and how to log in to it, each with the function that understands its value. */
export function serverKeys(place: Place) {
  return {
    host: value(readHost),
    port: value(readInteger(1, 65_535)),
    user: value(readWord),
    addressFamily: value(readOneOf(['any', 'inet', 'inet6'])),
    bindAddress: value(readAddress),
    bindInterface: value(readWord),
    connectTimeout: value(readDurationFrom(1)),
    connectLimit: value(readConnectLimit),
    tcpKeepAlive: value(readYesNo),
    identityFile: paths(place),
    identitiesOnly: value(readYesNo),
    identityAgent: value(readAgent(place)),
    certificateFile: value(readCertificates),
    passphraseFile: value(readPath(place)),
    passwordFile: value(readPath(place)),
    preferredAuthentications: value(readMethods),
    pubkeyAuthentication: value(readPubkeyAuthentication),
    passwordAuthentication: value(readYesNo),
    kbdInteractiveAuthentication: value(readYesNo),
    numberOfPasswordPrompts: value(readInteger(0, 1_000_000)),
    pubkeyAcceptedAlgorithms: value(readKeyAlgorithms),
    requiredRSASize: value(readInteger(0, 1_000_000)),
    userKnownHostsFile: spacedPaths(place),
    globalKnownHostsFile: spacedPaths(place),
    strictHostKeyChecking: value(readStrictness),
    hostKeyAlias: value(readWord),
    updateHostKeys: value(readYesNo),
    revokedHostKeys: spacedPaths(place),
    checkHostIP: value(readYesNo),
    serverAliveInterval: value(readDuration),
    serverAliveCountMax: value(readInteger(0, 1_000_000)),
    compression: value(readYesNo),
    rekeyLimit: value(readRekeyLimit),
    ciphers: value(readAlgorithms('ciphers', place.aes)),
    kexAlgorithms: value(readAlgorithms('kexAlgorithms', place.aes)),
    macs: value(readAlgorithms('macs', place.aes)),
    hostKeyAlgorithms: value(readAlgorithms('hostKeyAlgorithms', place.aes)),
  };
}

function readStrictness(raw: unknown): 'yes' | 'accept-new' | 'no' {
  if (raw === true) return 'yes';
  if (raw === false) return 'no';
  if (raw === 'ask')
    throw new BadValue(
      'cannot be ask: nobody is there to answer; write yes, or accept-new to trust the first key seen',
    );
  if (raw === 'off') throw new BadValue('must be written no, which says the same as off');
  return readOneOf(['yes', 'accept-new', 'no'])(raw);
}

/** The SSH library signs under the name of the certificate where servers want that of the key, so none is ever accepted. */
function readCertificates(raw: unknown): undefined {
  if (raw === 'none') return undefined;
  throw new BadValue(
    'is not supported: tunneld cannot log in with a certificate; add the public key to authorized_keys on the server',
  );
}
