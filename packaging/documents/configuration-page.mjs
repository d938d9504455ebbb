import { readFileSync } from 'node:fs';
import { bold, entry, fill, italic, prose, verbatim } from './roff.mjs';

/**
 * tunneld.yaml(5), from config.example.yaml (its comments are the text, its commented keys the entries) and from the table of options,
 * which makes the list of all keys.
 */
export function configurationPage(example, options, { version, date }) {
  const lines = example.split('\n');
  const start = lines.indexOf('tunnels:');
  const sections = lines.findIndex((line) => SECTION.test(line));
  const file = lines.findLastIndex((line) => /^ +#/.test(line)) + 1; // from here on nothing is indented
  const isKey = (line) => line !== '' && !/^ *#/.test(line);
  return fill(readFileSync(new URL('tunneld.yaml.5.roff', import.meta.url), 'utf8'), {
    DATE: date,
    VERSION: version,
    INTRODUCTION: prose(
      uncommented(lines.slice(0, start))
        .join(' ')
        .replace(/^.*?(?=This tunnel)/s, ''),
    ),
    MINIMUM: verbatim(lines.slice(start, sections).filter(isKey)).join('\n'),
    TUNNEL: blocks(lines.slice(sections, file)).join('\n'),
    FILE: blocks(lines.slice(file)).join('\n'),
    OPTIONS: options.flatMap(summary).join('\n'),
  });
}

function summary({ name, text, default: usual, ssh }) {
  const origin = ssh === null ? '' : ` ${ssh} of ssh_config(5).`;
  return entry([bold(name)], prose(`${text[0].toUpperCase()}${text.slice(1)}. Default: ${usual}.${origin}`));
}

const SECTION = /^ *# -{4} (.*) -{4}$/;
/** The commented lines with keys, which the tests of the example enable. */
const KEY = /^ *([a-zA-Z]+:)( .*)?$/;

function uncommented(lines) {
  return lines.map((line) => line.replace(/^ *# ?/, ''));
}

/** Comments are separated by empty lines; within one, the text precedes its keys. */
function blocks(lines) {
  return lines
    .join('\n')
    .split(/\n\n+/)
    .filter((block) => block.trim() !== '')
    .flatMap((block) => {
      const section = SECTION.exec(block)?.[1];
      return section === undefined ? explained(uncommented(block.split('\n'))) : [`.SS ${section}`];
    })
    .filter((line, index, all) => line !== '.PP' || !all[index - 1]?.startsWith('.SS')); // a section begins with one
}

function explained(lines) {
  const keys = lines.filter((line) => KEY.test(line));
  const text = paragraphs(lines.filter((line) => !KEY.test(line)));
  if (keys.length === 0) return text.flatMap((paragraph) => ['.PP', ...paragraph]);
  const [first = [], ...rest] = text;
  return [...entry(keys.map(tag), first.join('\n')), ...rest.flatMap((paragraph) => ['.IP', ...paragraph])];
}

function tag(line) {
  const [, key, value = ''] = KEY.exec(line);
  const depth = /^ */.exec(line)[0].length;
  return '\\ '.repeat(depth) + bold(key) + (value === '' ? '' : ` ${italic(value.trim())}`);
}

/** Indented text is preformatted. */
function paragraphs(lines) {
  const parts = [];
  for (const line of lines) {
    const kind = line === '' ? 'gap' : line.startsWith('  ') ? 'verbatim' : 'prose';
    if (parts.at(-1)?.kind === kind) parts.at(-1).lines.push(line);
    else parts.push({ kind, lines: [line] });
  }
  return parts
    .filter(({ kind }) => kind !== 'gap')
    .map(({ kind, lines }) => (kind === 'prose' ? [prose(lines.join(' '))] : verbatim(lines.map(outdented))));
}

function outdented(line) {
  return line.replace(/^ {2}/, '');
}
