import { resolve } from 'node:path';
import {
  type Assignment,
  type Command,
  forEachChild,
  type ParameterExpansionPart,
  parse,
  type Subshell,
  type SyntaxNode,
  type Word,
  type WordPart,
} from 'unbash';
import { NotUnderstood } from './not-understood.ts';

/** One simple command of a script, with its words as the shell would pass them on. */
export interface ShellCommand {
  readonly words: readonly string[];
  /** Why a word cannot be known without running the script; null where all are known. */
  readonly unknown: string | null;
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** The first and the last line of it, from 0. */
  readonly lines: readonly [first: number, last: number];
  /** Whether it stands within a loop, a condition or a group. */
  readonly nested: boolean;
  /** Whether it runs only where a condition does not hold. */
  readonly alternative: boolean;
}

export interface ShellSurroundings {
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** The parameters: `$1` and so on. */
  readonly parameters?: readonly string[];
  /** The text of a script, or of a file that it reads with `.`; null where there is none. Throws where it cannot be read. */
  readonly readText: (path: string) => string | null;
}

/**
 * The simple commands of a script for sh or bash, in their order: loops and conditions are taken as passed through once, so that it is for
 * the caller to judge whether that says what the script does. Throws NotUnderstood for functions, `case`, here-documents and the like.
 */
export function shellCommands(text: string, around: ShellSurroundings): readonly ShellCommand[] {
  try {
    return new Script(text, around).read();
  } catch (error) {
    // The stack is full: the parser limits most of what can stand within itself, not all, and a file may read itself.
    if (error instanceof RangeError) throw new NotUnderstood('too much of it stands within itself');
    throw error;
  }
}

type Place = Pick<ShellCommand, 'nested' | 'alternative'>;

/** Text that is a word, or a part of one, and why it is not all. */
interface Text {
  readonly text: string;
  readonly unknown: string | null;
  /** Whether the shell splits it at its blanks, as it does the value of a variable without quotes. */
  readonly splits?: boolean;
}

/** An assignment holds from the next command on. */
class Script {
  readonly #text: string;
  readonly #around: ShellSurroundings;
  /** Null for a variable whose value is not known. */
  #variables: Map<string, string | null>;
  readonly #found: ShellCommand[] = [];
  #directory: string;
  #at = 0;
  #line = 0;

  constructor(text: string, around: ShellSurroundings) {
    // For bash the \r of a line from Windows is a part of its last word.
    this.#text = text.replaceAll(/\r$/gm, ' ');
    this.#around = around;
    this.#variables = new Map(Object.entries(around.environment));
    this.#directory = around.directory;
  }

  read(): readonly ShellCommand[] {
    const script = parse(this.#text);
    const [error] = script.errors ?? [];
    if (error !== undefined) throw new NotUnderstood(`it is no script of sh: ${error.message}`);
    this.#visit(script, { nested: false, alternative: false });
    return this.#found;
  }

  #visit(node: SyntaxNode, { nested, alternative }: Place): void {
    const why = REFUSED[node.type];
    if (why !== undefined && !isEndlessLoop(node)) throw new NotUnderstood(why);
    if (node.type === 'Word') this.#textsOf(node);
    else if (node.type === 'Command') this.#visitCommand(node, { nested, alternative });
    else if (node.type === 'Subshell') this.#visitSubshell(node, { nested, alternative });
    else
      forEachChild(node, (child) => {
        const isOther = child.type === 'Elif' || (node.type === 'If' && child === node.else);
        this.#visit(child, { nested: nested || node.type === 'CompoundList', alternative: alternative || isOther });
      });
  }

  /** What it sets ends with it. */
  #visitSubshell({ body }: Subshell, place: Place): void {
    const [variables, directory] = [this.#variables, this.#directory];
    this.#variables = new Map(variables);
    this.#visit(body, place);
    [this.#variables, this.#directory] = [variables, directory];
  }

  #visitCommand({ name, prefix, args, redirects, pos, end }: Command, place: Place): void {
    for (const one of redirects) this.#visit(one, place);
    const assigned = prefix.filter((one) => one.type === 'Assignment');
    const given = [...assigned, ...(name === undefined ? [] : [name]), ...args];
    const words = given.flatMap((one) => (one.type === 'Word' ? this.#expand(one) : this.#assignment(one)));
    const [first, second] = words;
    if (first === undefined) return;
    if (name === undefined) this.#assign(words);
    else if (/^(?:export|readonly|local|declare|typeset)$/.test(first.text)) this.#assign(words.slice(1));
    else if (first.text === 'cd') this.#changeDirectory(second);
    else if (first.text === '.' || first.text === 'source') this.#source(second);
    else
      this.#found.push({
        words: words.map(({ text }) => text),
        unknown: whyUnknown(words),
        environment: this.#environment(),
        directory: this.#directory,
        lines: [this.#lineAt(pos), this.#lineAt(this.#afterBlanks(end))],
        ...place,
      });
  }

  /** Positions come in the order of the text. */
  #lineAt(position: number): number {
    this.#line += this.#text.slice(this.#at, position).split('\n').length - 1;
    this.#at = position;
    return this.#line;
  }

  /** Where a line goes on, what ends a command may stand in the next. */
  #afterBlanks(position: number): number {
    const blanks = /(?:[ \t]|\\\n)*/y;
    blanks.lastIndex = position;
    blanks.test(this.#text);
    return blanks.lastIndex;
  }

  #assign(words: readonly Text[]): void {
    for (const { text, unknown } of words) {
      const [, name, value = ''] = /^([A-Za-z_]\w*)=(.*)$/s.exec(text) ?? [];
      if (name !== undefined) this.#variables.set(name, unknown === null ? value : null);
    }
  }

  #changeDirectory(word: Text | undefined): void {
    this.#directory = resolve(this.#directory, word?.text ?? this.#variables.get('HOME') ?? '/');
  }

  #source(word: Text | undefined): void {
    if (word === undefined || word.unknown !== null) throw new NotUnderstood('it reads a file whose name is not known');
    const { readText } = this.#around;
    const text = readText(word.text);
    if (text === null) return;
    const other = new Script(text, { environment: this.#environment(), directory: this.#directory, readText });
    this.#found.push(...other.read());
    for (const [name, value] of other.#variables) this.#variables.set(name, value);
  }

  #environment(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#variables].filter((entry): entry is [string, string] => entry[1] !== null));
  }

  #assignment({ name, value, index, append }: Assignment): Text {
    const isKnown = value.type === 'Word' && index === undefined && append !== true;
    const texts = isKnown ? this.#textsOf(value) : [unknownText(`the variable ${name}`)];
    return joined([plainText(`${name}=`), ...texts]);
  }

  /** The words that one becomes. */
  #expand(word: Word): readonly Text[] {
    const words: Text[][] = [[]];
    for (const one of this.#textsOf(word)) {
      const [first = '', ...more] = one.splits === true ? one.text.split(/[ \t\n]+/) : [];
      if (one.splits !== true) words.at(-1)!.push(one);
      else if (first !== '') words.at(-1)!.push(plainText(first));
      words.push(...more.map((text) => (text === '' ? [] : [plainText(text)])));
    }
    return words.filter((texts) => texts.length > 0).map(joined);
  }

  /** `splits` is for what is not quoted in the word itself. */
  #textsOf({ text, value, parts }: Word, quoted = false, splits = false): readonly Text[] {
    const literal = { type: 'Literal', value, text } as const;
    const texts = (parts ?? [literal]).flatMap((part) =>
      part.type === 'Literal' ? [{ ...plainText(part.value), splits }] : this.#textsIn(part, quoted),
    );
    const [first, ...rest] = texts;
    if (first === undefined || !/^~(?:\/|$)/.test(text)) return texts;
    return [{ ...first, text: `${this.#variables.get('HOME') ?? '~'}${first.text.slice(1)}` }, ...rest];
  }

  #textsIn(part: WordPart, quoted: boolean): readonly Text[] {
    switch (part.type) {
      case 'Literal':
      case 'SingleQuoted':
      case 'AnsiCQuoted':
        return [plainText(part.value)];
      case 'DoubleQuoted':
      case 'LocaleString':
        return [plainText(''), ...part.parts.flatMap((one) => this.#textsIn(one, true))];
      case 'SimpleExpansion':
        return this.#valueOf(part.text.slice(1), quoted);
      case 'ParameterExpansion':
        return this.#expansion(part, quoted);
      case 'ProcessSubstitution':
        throw new NotUnderstood('it substitutes a process for a file');
      case 'Glob':
        // What is in brackets may be an address.
        return part.kind === 'bracket' ? [plainText(part.value)] : [unknownText(PATTERN)];
      case 'ExtendedGlob':
        return [unknownText(PATTERN)];
      case 'BraceExpansion':
        return [unknownText(part.text)];
      case 'ArithmeticExpansion':
      case 'CommandExpansion':
        return [unknownText('the output of another command')];
    }
  }

  /** Of `${…}`, a variable and its default alone are read. */
  #expansion({ text, parameter, prefix, index, operation }: ParameterExpansionPart, quoted: boolean): readonly Text[] {
    const isDefault = operation?.type === 'Default' && /^:?-$/.test(operation.operator);
    if ((prefix ?? index) !== undefined || (operation !== undefined && !isDefault)) return [unknownText(text)];
    if (operation?.operator === '-' && this.#variables.get(parameter) === '') return [];
    return this.#valueOf(parameter, quoted, isDefault ? this.#textsOf(operation.operand, quoted, !quoted) : null);
  }

  #valueOf(name: string, quoted: boolean, fallback: readonly Text[] | null = null): readonly Text[] {
    if (!/^\w+$/.test(name)) return [unknownText(`$${name}`)];
    const value = /^\d+$/.test(name) ? (this.#around.parameters?.[Number(name) - 1] ?? '') : this.#variables.get(name);
    if (value) return [{ ...plainText(value), splits: !quoted }];
    if (fallback !== null && value !== null) return fallback;
    // An unset variable is empty in a shell; here it may be one of the login's or of the service manager's.
    return value === '' ? [] : [unknownText(`the variable ${name}`)];
  }
}

/** What a script may have, and what it does is not known without running it. */
const REFUSED: Partial<Readonly<Record<SyntaxNode['type'], string>>> = {
  ArithmeticCommand: 'it has functions or arithmetic',
  ArithmeticFor: 'it has functions or arithmetic',
  Case: 'it has case',
  Coproc: 'it has coproc',
  For: 'it has a loop over a list',
  Function: 'it has functions or arithmetic',
  HereDoc: 'it has a here-document',
  HereString: 'it has a here-document',
  Select: 'it has select',
};

const PATTERN = 'a pattern of file names';

/** `for ((;;))` */
function isEndlessLoop(node: SyntaxNode): boolean {
  return node.type === 'ArithmeticFor' && (node.initialize ?? node.test ?? node.update) === undefined;
}

function plainText(text: string): Text {
  return { text, unknown: null };
}

function unknownText(why: string): Text {
  return { text: '', unknown: why };
}

function joined(texts: readonly Text[]): Text {
  return { text: texts.map(({ text }) => text).join(''), unknown: whyUnknown(texts) };
}

function whyUnknown(texts: readonly Text[]): string | null {
  return texts.find(({ unknown }) => unknown !== null)?.unknown ?? null;
}
