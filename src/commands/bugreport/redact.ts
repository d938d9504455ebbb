import { maskSecrets } from '../../lib/secrets.ts';
import type { Config } from '../../model/config.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/** In the place of what is left out. */
const MASK = '***';

/**
 * The net below all rules: text that goes to others, without the secrets that are known (see registerSecret), private keys, what is behind
 * the host of an address of the web, the user in one, headers and assignments that sound like a secret.
 */
export function redactText(text: string): string {
  return maskSecrets(
    text
      .replaceAll(/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g, MASK)
      .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/"']*@/gi, `$1${MASK}@`)
      .replaceAll(/\b(https?:\/\/[^\s/"'?#\\]+)[/?#][^\s"'\\]+/gi, `$1/${MASK}`)
      .replaceAll(
        /\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:token|key|auth)[\w-]*)(\\?["']?\s*[:=]).*/gi,
        `$1$2 ${MASK}`,
      )
      .replaceAll(
        /\b([\w-]*(?:password|passwd|passphrase|secret|token|api[-_]?key))(\\?["']?\s*[:=]\s*)(?:\\"[^"\n]*"|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,;"']+)/gi,
        `$1$2${MASK}`,
      ),
  );
}

/** A configuration without what may be secret: names of hosts, users and files stay. */
export function redactConfig(config: Config): Config {
  const { heartbeat, onChange } = config;
  return {
    ...config,
    tunnels: config.tunnels.map(redactTunnel),
    heartbeat: heartbeat.url === null ? heartbeat : { ...heartbeat, url: MASK },
    onChange:
      onChange.command === null
        ? onChange
        : { ...onChange, command: onChange.command.map((word, index) => (index === 0 ? word : MASK)) },
  };
}

function redactTunnel(tunnel: TunnelSpec): TunnelSpec {
  const { entry } = tunnel;
  switch (entry.type) {
    case 'direct':
      return tunnel;
    case 'command':
      return { ...tunnel, entry: { ...entry, command: programOf(entry.command) } };
    case 'http':
    case 'socks5':
      return { ...tunnel, entry: { ...entry, user: entry.user === null ? null : MASK } };
  }
}

/** Arguments of a program may be secret, and so may what is set before it. */
function programOf(command: string): string {
  const [program = ''] = command.trim().split(/\s+/);
  return PROGRAM.test(program) ? `${program} ${MASK}` : MASK;
}

/** A name that is no secret. */
export const PROGRAM = /^[\w./~-]+$/;

/**
 * The keys of a configuration that is not valid, without comments. Only values of keys that are never secret stay: what is wrong may be
 * a password in the wrong place.
 */
export function outlineOf(yaml: string): string {
  return yaml
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .map((line) => {
      const [, key = '', value = ''] = /^(\s*(?:- +)*[\w-]+:)(?: +(.*))?$/.exec(line) ?? [];
      if (key === '') return `${/^\s*/.exec(line)![0]}${MASK}`;
      return value === '' || isPlain(key.replace(/^[\s-]*|:$/g, ''), value) ? line : `${key} ${MASK}`;
    })
    .join('\n');
}

function isPlain(key: string, value: string): boolean {
  if (/^(?:\d{1,5}[smhdw]?|yes|no|true|false)$/.test(value)) return true;
  if (key.endsWith('File') || ['socket', 'stateDirectory', 'file'].includes(key)) return /^[~/][\w./~-]*$/.test(value);
  return PLAIN_KEYS.includes(key) && /^[\w.:@/[\], *-]+$/.test(value);
}

const PLAIN_KEYS: readonly string[] = [
  'host',
  'user',
  'level',
  'listen',
  'verify',
  'addressFamily',
  'strictHostKeyChecking',
  'hostKeyAlias',
  'remoteForward',
  'localForward',
  'dynamicForward',
  'target',
  'sourcePort',
  'ping',
  'sshConfig',
  'servers',
];

/** A unit file of systemd, with its drop-ins: of what it sets, only the names stay, and of what it runs, only programs and options. */
export function redactUnit(text: string): string {
  return (
    text
      .split('\n')
      // Of comments, those of systemctl stay, which name the files. One may stand within a line that is continued.
      .filter((line) => !/^\s*[#;]/.test(line) || isNameOfFile(line))
      .join('\n')
      .replaceAll(/\\\n\s*/g, ' ')
      .split('\n')
      .map((line) => {
        if (/^\s*(?:\[[\w-]+\])?\s*$/.test(line) || isNameOfFile(line)) return line;
        const [, key = '', value = ''] = /^\s*([A-Za-z]+)\s*=(.*)$/.exec(line) ?? [];
        if (key === '') return MASK;
        if (key === 'Environment') return `${key}=${namesOf(value)}`;
        if (key.startsWith('SetCredential')) return `${key}=${value.replace(/:.*/, `:${MASK}`)}`;
        if (key.startsWith('Exec')) return `${key}=${value.split(/\s+/).map(redactWord).join(' ')}`;
        return line;
      })
      .join('\n')
  );
}

function isNameOfFile(line: string): boolean {
  return /^# \/[\w./@-]+$/.test(line);
}

function namesOf(value: string): string {
  return [...value.matchAll(/(?:^|[\s"'])([A-Za-z_]\w*)=/g)].map(([, name]) => `${name}=${MASK}`).join(' ');
}

/** Paths and options are shown, and the words of tunneld. A value may follow the letter of an option at once (-pSECRET). */
function redactWord(word: string): string {
  return /^(?:[-@!+:]*\/[\w./@-]*|--[\w-]+|-\w|run|tunneld|)$/.test(word) ? word : MASK;
}
