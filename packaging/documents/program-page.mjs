import { readFileSync } from 'node:fs';
import { importSource } from '../import-source.mjs';
import { bold, entry, fill, italic, prose, roff } from './roff.mjs';

/** tunneld(1): tunneld.1.roff with the commands, options and failure codes of the program. */
export async function programPage(program, { version, date }) {
  const { FAILURES } = await importSource('model/failure.ts');
  const { SSH_FLAGS } = await importSource('config/command-line/flags.ts');
  return fill(readFileSync(new URL('tunneld.1.roff', import.meta.url), 'utf8'), {
    DATE: date,
    VERSION: version,
    OPTIONS: program.options.flatMap(option).join('\n'),
    COMMANDS: program.commands.flatMap(command).join('\n'),
    FAILURES: Object.entries(FAILURES)
      .flatMap(([code, { title, hint }]) => entry([bold(code)], prose(`${sentence(title)} ${hint}`)))
      .join('\n'),
    'SSH-HONOURED': letters(SSH_FLAGS, 'option', 'own'),
    'SSH-IMPLIED': letters(SSH_FLAGS, 'implied'),
    'SSH-IDLE': letters(SSH_FLAGS, 'idle'),
    'SSH-REFUSED': letters(SSH_FLAGS, 'refused'),
  });
}

function command({ name, aliases, description, usage, arguments: words, options }) {
  const names = [name, ...aliases].map((each) => bold(`tunneld ${each}`)).join(', ');
  const explained = words.filter(({ description }) => description !== '');
  return [
    `.SS ${names} ${placeholders(usage)}`,
    prose(sentence(description)),
    ...explained.flatMap((word) => entry([italic(word.name)], prose(sentence(word.description + choices(word))))),
    ...options.filter(({ names }) => !names.includes('--help')).flatMap(option),
  ];
}

function option({ names, value, description, ...more }) {
  const tag = names.map(bold).join(', ') + (value === null ? '' : ` ${italic(value)}`);
  const usual = more.default === null ? '' : ` (default: ${more.default})`;
  return entry([tag], prose(sentence(description + choices(more) + usual)));
}

function choices({ choices }) {
  return choices.length === 0 ? '' : `: ${choices.join(', ')}`;
}

/** Commander's <required> and [optional] arguments, as manual pages write them. */
function placeholders(usage) {
  return usage
    .split(/<([^>]+)>/)
    .map((piece, index) => (index % 2 === 1 ? italic(piece) : roff(piece)))
    .join('');
}

function sentence(text) {
  return /[.!?]$/.test(text) || text === '' ? upper(text) : `${upper(text)}.`;
}

/** Capitalizes a sentence, unless it begins with a name such as SHA256:... or [user@]host. */
function upper(text) {
  return /^[a-z]+[ ,;]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
}

function letters(flags, ...types) {
  return Object.entries(flags)
    .filter(([, { use }]) => types.includes(use.type))
    .map(([letter]) => bold(`-${letter}`))
    .toSorted((a, b) => a.localeCompare(b, 'en'))
    .join(' ');
}
