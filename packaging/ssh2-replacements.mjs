// What ssh2 does wrong, or lacks, and can be mended neither through what it exports nor on an instance: exact replacements of its
// source text. Every bundle has them (packaging/build.mjs), and all that runs from the sources (packaging/ssh2.mjs, which
// `import '#ssh2'` means there). A replacement only opens the door; the logic stands in src/connection/ssh2.
import { readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/** The version that the replacements are for. With another one, each has to be reviewed. */
const SSH2_VERSION = '1.17.0';

/** `find` occurs exactly once in `file`, relative to ssh2's folder. `for` is the fault or the standard behind it. */
export const REPLACEMENTS = [
  {
    file: 'lib/protocol/crypto.js',
    for: 'its compiled part is not shipped, and not wanted from wherever Node would find it: ours needs no compiler (packaging/native)',
    find: `try {
  binding = require('./crypto/build/Release/sshcrypto.node');
  ({ AESGCMCipher, ChaChaPolyCipher, GenericCipher,
     AESGCMDecipher, ChaChaPolyDecipher, GenericDecipher } = binding);
} catch {}
`,
    put: '// without its compiled part\n',
  },
  {
    file: 'lib/protocol/constants.js',
    for: 'the same: what it would say of the processor decides nothing, since the order of ciphers is given',
    find: `try {
  cpuInfo = require('cpu-features')();
} catch {}
`,
    put: '// without a look at the processor\n',
  },
  {
    file: 'lib/protocol/crypto.js',
    for: 'its WebAssembly is for ChaCha20 without our addon, and takes 1.5 MiB',
    find: `  init: (() => {
    // eslint-disable-next-line no-async-promise-executor
    return new Promise(`,
    put: `  get init() {
    Object.defineProperty(this, 'init', { value: this.start() });
    return this.init;
  },
  start: (() => {
    // eslint-disable-next-line no-async-promise-executor
    return new Promise(`,
  },
  {
    file: 'lib/protocol/crypto.js',
    for: 'the same: it starts when it is asked for',
    find: `      resolve();
    });
  })(),
`,
    put: `      resolve();
    });
  }),
`,
  },
  {
    file: 'lib/client.js',
    for: 'the same: the client asks for it',
    find: "const { init: cryptoInit } = require('./protocol/crypto.js');",
    put: "const cryptoParts = require('./protocol/crypto.js');",
  },
  {
    file: 'lib/client.js',
    for: 'the same: which cipher it is for is known by then',
    find: '        cryptoInit.then(() => {',
    put: `        // connect() has returned by then
        Promise.resolve().then(() => proto.needsNoWasm || cryptoParts.init).then(() => {`,
  },
  {
    file: 'lib/server.js',
    for: 'the same: its server, which tests use, asks for it always',
    find: "const { init: cryptoInit } = require('./protocol/crypto.js');",
    put: "const cryptoInit = { then: (...next) => require('./protocol/crypto.js').init.then(...next) };",
  },
  {
    file: 'lib/protocol/keyParser.js',
    for: 'what decrypts keys takes 4 MiB of the daemon, whose keys are decrypted in threads (see src/worker.ts)',
    find: "const bcrypt_pbkdf = require('bcrypt-pbkdf').pbkdf;",
    put: "const bcrypt_pbkdf = (...all) => require('bcrypt-pbkdf').pbkdf(...all);",
  },
  {
    file: 'lib/keygen.js',
    for: 'the same for what encrypts new keys',
    find: "const bcrypt_pbkdf = require('bcrypt-pbkdf').pbkdf;",
    put: "const bcrypt_pbkdf = (...all) => require('bcrypt-pbkdf').pbkdf(...all);",
  },
  {
    file: 'lib/Channel.js',
    for: 'a second stream for each channel, though only a program has one: a sixth of the garbage of a visit',
    find: '      this.stderr = new ClientStderr(this, streamOpts);',
    put: "      this.stderr = info.type === 'session' ? new ClientStderr(this, streamOpts) : NO_STDERR;",
  },
  {
    file: 'lib/Channel.js',
    for: 'the same: what all the others have in its place',
    find: 'const WINDOW_THRESHOLD = MAX_WINDOW / 2;\n\n',
    put: 'const WINDOW_THRESHOLD = MAX_WINDOW / 2;\nconst NO_STDERR = new ReadableStream().destroy();\n\n',
  },
  {
    file: 'lib/Channel.js',
    for: 'each channel is ended a second time when it is destroyed, and Node makes an error with its stack for that, which nobody gets',
    find: '  destroy() {\n    this.end();',
    put: '  destroy() {\n    if (!this.writableEnded) this.end();',
  },
  {
    file: 'lib/protocol/crypto.js',
    for: 'packets above 35,000 bytes, such as a long banner: OpenSSH sends and accepts 256 KiB (RFC 4253 section 6.1, packet.c)',
    find: 'const MAX_PACKET_SIZE = 35000;',
    put: 'const MAX_PACKET_SIZE = 256 * 1024;',
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'strict key exchange forbids IGNORE, DEBUG and UNIMPLEMENTED in the first exchange only (OpenSSH, PROTOCOL section 1.9)',
    find: '  if (!this._strictMode) {\n    switch (type) {\n      case MESSAGE.IGNORE:',
    put: '  if (!this._strictMode || (this._kex && this._kex.sessionID)) {\n    switch (type) {\n      case MESSAGE.IGNORE:',
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'nothing tells when an exchange begins (see src/connection/ssh2/protocol/unfinished-rekey.ts)',
    find: '  self._kexinit = payload;\n',
    put: '  self._kexinit = payload;\n  if (self.exchangeBegins) self.exchangeBegins();\n',
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the prime of a group exchange is tested, and its numbers are computed, on the main thread (see src/connection/ssh2/kex/group-exchange.ts)',
    find: `          // TODO: validate prime
          this.setDHParams(prime, gen);`,
    put: `          if (this._protocol.openGroup && !this._dh) {
            const again = Buffer.from(payload);
            return this._protocol.openGroup(this, prime, gen, [this._minBits, this._maxBits], () => this.parse(again));
          }
          this.setDHParams(prime, gen);`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same for named groups: they are opened when the exchange begins',
    find: `    start() {
      if (!this._protocol._server) {
        this._protocol._debug && this._protocol._debug(
          'Outbound: Sending KEXDH_INIT'`,
    put: `    start() {
      if (this._protocol.openGroup && !this._dh) {
        const dh = createDiffieHellmanGroup(this.groupName);
        const [prime, generator] = [dh.getPrime(), dh.getGenerator()].map(convertToMpint);
        return this._protocol.openGroup(this, prime, generator, [0, 8192], () => this.start());
      }
      if (!this._protocol._server) {
        this._protocol._debug && this._protocol._debug(
          'Outbound: Sending KEXDH_INIT'`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the result of a beginning exchange is passed on to its caller',
    find: '  self._kex.start();',
    put: '  return self._kex.start();',
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the secret is computed before the message is read that needs it',
    find: `              // Async host verification
              ++this._step;
              return;`,
    put: `              // Async host verification
              ++this._step;
              return this._dh && this._dh.prepareSecret ? this._protocol.prepareSecret(this._dh, this._dhData) : undefined;`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the reply is handled like that of a group exchange',
    find: `          this.parse = KeyExchange.prototype.parse;
          this.parse(payload);`,
    put: `          this.parse = KeyExchange.prototype.parse;
          return this.parse(payload);`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the group must be as strong as the key of the MAC as well (RFC 4419 section 3, kex.c of OpenSSH: dh_need)',
    find: '    scCipher.ivLen\n  ) * 8;',
    put: `    scCipher.ivLen,
    (csCipher.authLen ? 0 : MAC_INFO[neg.cs.mac].len),
    (scCipher.authLen ? 0 : MAC_INFO[neg.sc.mac].len)
  ) * 8;`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'servers continue to send other messages while keys are renewed (AsyncSSH 2.10), and ssh accepts them (dispatch.c); never in the first exchange',
    find: `      if (type < 20 || type > 49) {
        return doFatalError(`,
    put: `      if (type > 49 && this._kex && this._kex.sessionID) {
        if (!MESSAGE_HANDLERS)
          MESSAGE_HANDLERS = require('./handlers.js');
        const handler = MESSAGE_HANDLERS[type];
        return handler && handler(this, payload);
      }
      if (type < 20 || type > 49) {
        return doFatalError(`,
  },
  {
    file: 'lib/client.js',
    for: 'a signature with a large RSA key blocks the event loop too long (see src/connection/auth/sign.ts)',
    find: `(buf, cb) => {
              const signature = curAuth.key.sign(buf, hashAlgo);
              if (signature instanceof Error) {
                signature.message =
                  \`Error signing data`,
    put: `(buf, cb) => {
              if (curAuth.key.signLater) {
                curAuth.key.signLater(buf, hashAlgo, cb, (err) => {
                  err.level = 'client-authentication';
                  this.emit('error', err);
                });
                return;
              }
              const signature = curAuth.key.sign(buf, hashAlgo);
              if (signature instanceof Error) {
                signature.message =
                  \`Error signing data`,
  },
  {
    file: 'lib/protocol/Protocol.js',
    for: 'the signature of a certificate has the name of its key, that of a security key more parts (PROTOCOL.certkeys, PROTOCOL.u2f): such keys give the whole of it (see src/connection/auth/login-key.ts)',
    find: `    cbSign(packet, (signature) => {
      signature = convertSignature(signature, keyType);
      if (signature === false)`,
    put: `    cbSign(packet, (signature) => {
      if (signature.whole) {
        const request = packet.subarray(4 + sesLen);
        p = this._packetRW.write.allocStart;
        const signed = this._packetRW.write.alloc(request.length + 4 + signature.length);
        signed.set(request, p);
        writeUInt32BE(signed, signature.length, p += request.length);
        signed.set(signature, p + 4);
        this._authsQueue.push('publickey');
        sendPacket(this, this._packetRW.write.finalize(signed));
        return;
      }
      signature = convertSignature(signature, keyType);
      if (signature === false)`,
  },
  {
    file: 'lib/protocol/handlers.misc.js',
    for: 'a server that names 30 million prompts makes an array of 240 MB before the first is read',
    find: 'prompts = new Array(numPrompts);',
    put: 'prompts = [];',
  },
  {
    file: 'lib/protocol/handlers.misc.js',
    for: 'a list of thousands of host keys is parsed before its length can be checked (see src/connection/ssh2/announced-keys.ts)',
    find: 'const key = parseKey(keyRaw);',
    put: 'const key = (self.readHostKey || parseKey)(keyRaw);',
  },
  {
    file: 'lib/client.js',
    for: 'data beyond the window is checked before (src/connection/ssh2/protocol/violations.ts); accepted data must not be dropped silently',
    find: `          if (channel.incoming.window === 0)
            return;

          channel.incoming.window -= data.length;

          if (channel.push(data) === false) {`,
    put: `          channel.incoming.window -= data.length; // in any case

          if (channel.push(data) === false) {`,
  },
  {
    file: 'lib/client.js',
    for: 'the same for the second stream of a program',
    find: `          if (channel.incoming.window === 0)
            return;

          channel.incoming.window -= data.length;

          if (!channel.stderr.push(data)) {`,
    put: `          channel.incoming.window -= data.length; // in any case

          if (!channel.stderr.push(data)) {`,
  },
  {
    file: 'lib/protocol/constants.js',
    for: 'key exchanges that a quantum computer does not break (see src/connection/ssh2/kex): their names',
    find: 'const SUPPORTED_KEX = DEFAULT_KEX.concat([',
    put: `const SUPPORTED_KEX = DEFAULT_KEX.concat([
  'mlkem768x25519-sha256', // draft-ietf-sshm-mlkem-hybrid-kex
  'sntrup761x25519-sha512', // RFC 9941
  'sntrup761x25519-sha512@openssh.com', // the same
`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: which hash each has (see src/connection/ssh2/kex/hybrid.ts)',
    find: `        case 'ecdh-sha2-nistp256':
          return new ECDHExchange(`,
    put: `        case 'mlkem768x25519-sha256':
          return new HybridExchange('sha256', ...args);
        case 'sntrup761x25519-sha512':
        case 'sntrup761x25519-sha512@openssh.com':
          return new HybridExchange('sha512', ...args);
        case 'ecdh-sha2-nistp256':
          return new ECDHExchange(`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: both sides send strings that are no numbers, and the secret is a string as well (RFC 9941 section 3)',
    find: '  class DHGroupExchange extends KeyExchange {',
    put: `  class HybridExchange extends KeyExchange {
    constructor(hashName, ...args) {
      super(...args);
      this.type = 'hybrid';
      this.hashName = hashName;
    }
    start() {
      if (this._dh)
        return super.start();
      return this._protocol.openHybrid(this, this.negotiated.kex, () => super.start());
    }
    getPublicKey() {
      return this._public;
    }
    convertPublicKey(key) {
      return key;
    }
    computeSecret(theirs) {
      try {
        return this._dh.computeSecret(theirs);
      } catch (ex) {
        return ex;
      }
    }
  }

  class DHGroupExchange extends KeyExchange {`,
  },
  {
    file: 'lib/protocol/constants.js',
    for: 'host certificates (PROTOCOL.certkeys of OpenSSH; see src/connection/ssh2/host-keys.ts): their names',
    find: 'const SUPPORTED_SERVER_HOST_KEY = DEFAULT_SERVER_HOST_KEY.concat([',
    put: `const SUPPORTED_SERVER_HOST_KEY = DEFAULT_SERVER_HOST_KEY.concat([
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the key that is certified signs, by an algorithm of its own name; and nothing may follow the signature',
    find: `            bufferParser.init(hostPubKey, 0);
            const hostPubKeyType = bufferParser.readString(true);
            bufferParser.clear();`,
    put: `            const { openHostKey } = this._protocol;
            this._signer = openHostKey
              ? openHostKey(hostPubKey, this.negotiated.serverHostKey, payload)
              : { key: hostPubKey, algorithm: this.negotiated.serverHostKey };
            bufferParser.init(this._signer.key, 0);
            const hostPubKeyType = bufferParser.readString(true);
            bufferParser.clear();`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the type of the certified key is what was agreed on',
    find: `            if (hostPubKeyType !== this.negotiated.serverHostKey) {
              // Check if we need to make an exception
              switch (this.negotiated.serverHostKey) {`,
    put: `            if (hostPubKeyType !== this._signer.algorithm) {
              // Check if we need to make an exception
              switch (this._signer.algorithm) {`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the type of the signature',
    find: `        if (sigType !== negotiated.serverHostKey) {
          return doFatalError(
            this._protocol,
            \`Wrong signature type: \${sigType}, \`
              + \`expected: \${negotiated.serverHostKey}\`,`,
    put: `        if (sigType !== this._signer.algorithm) {
          return doFatalError(
            this._protocol,
            \`Wrong signature type: \${sigType}, \`
              + \`expected: \${this._signer.algorithm}\`,`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the key that has to have signed',
    find: `          bufferParser.init(this._hostKey, 0);
          const name = bufferParser.readString(true);
          const hostKey = this._hostKey.slice(bufferParser.pos());`,
    put: `          bufferParser.init(this._signer.key, 0);
          const name = bufferParser.readString(true);
          const hostKey = this._signer.key.slice(bufferParser.pos());`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: the digest of the signature',
    find: `        switch (this.negotiated.serverHostKey) {
          case 'rsa-sha2-256': hashAlgo = 'sha256'; break;
          case 'rsa-sha2-512': hashAlgo = 'sha512'; break;
        }

        this._protocol._debug
          && this._protocol._debug('Verifying signature ...');`,
    put: `        switch (sigType) {
          case 'rsa-sha2-256': hashAlgo = 'sha256'; break;
          case 'rsa-sha2-512': hashAlgo = 'sha512'; break;
        }

        this._protocol._debug
          && this._protocol._debug('Verifying signature ...');`,
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'packets are sealed in batches, by an addon of ours (see src/connection/ssh2/packets)',
    find: 'this._protocol._cipher = createCipher(hsCipherConfig);',
    put: 'this._protocol._cipher = (this._protocol.createCipher || createCipher)(hsCipherConfig, createCipher);',
  },
  {
    file: 'lib/protocol/kex.js',
    for: 'the same: they are opened in batches',
    find: 'this._protocol._decipher = createDecipher(config);',
    put: 'this._protocol._decipher = (this._protocol.createDecipher || createDecipher)(config, createDecipher);',
  },
];

/** The files of ssh2 with replacements, relative to its folder. */
export const REPLACED_FILES = [...new Set(REPLACEMENTS.map(({ file }) => file))];

/** The text of a file of ssh2 (relative to its folder) with its replacements, whether it has them already or not. */
export function replaced(file, text, replacements = REPLACEMENTS) {
  return replacements
    .filter((replacement) => replacement.file === file)
    .reduce((result, { find, put }) => {
      const [before, after, ...more] = result.split(put);
      if (after !== undefined && more.length === 0 && !(before + after).includes(find)) return result;
      if (result.split(find).length !== 2)
        throw new Error(`${file} of ssh2 differs from the text in packaging/ssh2-replacements.mjs: ${find}`);
      return result.replace(find, () => put);
    }, text);
}

/** The same by the file's path on this machine. Throws for another version of ssh2. */
export function replacedFile(folder, path, text = readFileSync(path, 'utf8')) {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (version !== SSH2_VERSION)
    throw new Error(
      `ssh2 is ${version}: packaging/ssh2-replacements.mjs is for ${SSH2_VERSION} and is to be looked at`,
    );
  return replaced(relative(folder, path).replaceAll(sep, '/'), text);
}
