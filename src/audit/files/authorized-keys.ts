import { fingerprint, keyTypeOf } from '../../connection/known-hosts/key-blob.ts';
import { printable } from '../../lib/text.ts';

/** One line of authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
export interface KeyEntry {
  readonly file: string;
  readonly line: number;
  readonly base64: string;
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  /** Safe to print. */
  readonly comment: string;
  readonly options: readonly KeyOption[];
}

interface KeyOption {
  /** In small letters. */
  readonly name: string;
  readonly value: string | null;
}

/** The keys that sshd reads in a file; invalid lines are skipped, as sshd does. */
export function readAuthorizedKeys(file: string, lines: readonly string[]): readonly KeyEntry[] {
  return lines.flatMap((text, index) => {
    const entry = readLine(significant(text));
    return entry === null ? [] : [{ file, line: index + 1, ...entry }];
  });
}

/** The numbers of invalid lines that seem to hold a key: how sshd reads them is not known here. */
export function unreadLines(lines: readonly string[]): readonly number[] {
  return lines.flatMap((text, index) => {
    const line = significant(text);
    const isKey = line !== '' && !line.startsWith('#') && BLOB.test(line.replace(/\s/g, ''));
    return isKey && readLine(line) === null ? [index + 1] : [];
  });
}

/** The length of a type, in base64. */
const BLOB = /AAAA[A-Za-z0-9+/]{20}/;

/** To sshd a line ends at a NUL, and begins behind blanks and tabulators alone (auth2-pubkeyfile.c). */
function significant(text: string): string {
  const nul = text.indexOf('\0');
  return (nul === -1 ? text : text.slice(0, nul)).replace(/^[ \t]+/, '');
}

/** Whether the options of a line, in their order, leave something allowed that `restrict` takes away. */
export function allows(entry: KeyEntry, what: 'port-forwarding' | 'user-rc' | 'pty' | 'agent-forwarding'): boolean {
  return entry.options.reduce((allowed, { name }) => {
    if (name === 'restrict' || name === `no-${what}`) return false;
    return name === what ? true : allowed;
  }, true);
}

export function valuesOf(entry: KeyEntry, option: string): readonly string[] {
  return entry.options.flatMap(({ name, value }) => (name === option && value !== null ? [value] : []));
}

function readLine(text: string): Omit<KeyEntry, 'file' | 'line'> | null {
  if (text === '' || text.startsWith('#')) return null;
  const bare = readKey(text);
  if (bare !== null) return { ...bare, options: [] };
  const { options, rest } = readOptions(text);
  const key = readKey(rest);
  return key === null ? null : { ...key, options };
}

function readKey(text: string): Pick<KeyEntry, 'base64' | 'fingerprint' | 'comment'> | null {
  const [, type = '', base64 = '', comment = ''] = KEY.exec(text) ?? [];
  // sshd skips white space in base64 (b64_pton), and accepts the name of an RSA signature as the key's type.
  const key = Buffer.from(base64.replace(/\s/g, ''), 'base64');
  if (keyTypeOf(key) !== (type.startsWith('rsa-sha2-') ? 'ssh-rsa' : type)) return null;
  return { base64: key.toString('base64'), fingerprint: fingerprint(key), comment: printable(comment.trim(), 60) };
}

const KEY = /^([^ \t]+)[ \t]+([^ \t]+)(?:[ \t]+([^]*))?$/;

/** Up to the first blank outside of quotes; in quotes, `\"` is a quote. */
function readOptions(text: string): { readonly options: readonly KeyOption[]; readonly rest: string } {
  const options: KeyOption[] = [];
  let word = '';
  let value: string | null = null;
  let quoted = false;
  const end = () => {
    if (word !== '') options.push({ name: word.toLowerCase(), value });
    word = '';
    value = null;
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!;
    if (quoted && char === '\\' && text[at + 1] === '"') {
      value = `${value ?? ''}"`;
      at += 1;
    } else if (char === '"') quoted = !quoted;
    else if (!quoted && /[ \t]/.test(char)) {
      end();
      return { options, rest: text.slice(at).trim() };
    } else if (!quoted && char === ',') end();
    else if (!quoted && char === '=' && value === null) value = '';
    else if (value === null) word += char;
    else value += char;
  }
  return { options: [], rest: '' };
}
