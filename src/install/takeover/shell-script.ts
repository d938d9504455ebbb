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
  return new Script(text, around).read();
}

interface Word {
  text: string;
  unknown: string | null;
  /** Without a quote or an expansion, so that it may be a keyword or an operator. */
  plain: boolean;
}

/** A scanner that expands while it reads: an assignment holds from the next command on. */
class Script {
  readonly #text: string;
  readonly #readText: ShellSurroundings['readText'];
  readonly #parameters: readonly string[];
  /** Null for a variable whose value is not known. */
  readonly #variables: Map<string, string | null>;
  readonly #found: ShellCommand[] = [];
  #directory: string;
  #at = 0;
  #line = 0;
  #firstLine = 0;
  #words: Word[] = [];
  #word: Word | null = null;
  #skipsNext = false;
  #depth = 0;
  #conditions = 0;
  #alternative = false;

  constructor(text: string, { environment, directory, parameters = [], readText }: ShellSurroundings) {
    this.#text = text;
    this.#variables = new Map(Object.entries(environment));
    this.#directory = directory;
    this.#parameters = parameters;
    this.#readText = readText;
  }

  read(): readonly ShellCommand[] {
    while (this.#at < this.#text.length) this.#next();
    this.#endCommand();
    return this.#found;
  }

  #next(): void {
    const char = this.#text[this.#at]!;
    if (char === '\\') this.#escape();
    else if (char === "'") this.#single();
    else if (char === '"') this.#double();
    else if (char === '$' || char === '`') this.#expand(false);
    else if (/[ \t\r]/.test(char)) {
      this.#endWord();
      this.#at += 1;
    } else if (char === '#' && this.#word === null) {
      while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at += 1;
    } else if (/[<>]/.test(char) || this.#text.startsWith('&>', this.#at)) this.#redirect();
    else if (/[\n;&|()]/.test(char)) this.#operator(char);
    else this.#literal(char);
  }

  #literal(char: string): void {
    const word = (this.#word ??= { text: '', unknown: null, plain: true });
    const rest = this.#text.slice(this.#at + 1, this.#at + 2);
    if (char === '~' && word.text === '' && /^(?:[/\s;&|]|$)/.test(rest)) {
      word.text += this.#variables.get('HOME') ?? '~';
      word.plain = false;
    } else word.text += char;
    if (/[*?]/.test(char)) word.unknown ??= 'a pattern of file names';
    this.#at += 1;
  }

  #escape(): void {
    const next = this.#text[this.#at + 1];
    this.#at += 2;
    if (next === '\n') this.#line += 1;
    else this.#append(next ?? '');
  }

  /** Adds text that is quoted. */
  #append(text: string): Word {
    const word = (this.#word ??= { text: '', unknown: null, plain: false });
    word.text += text;
    word.plain = false;
    return word;
  }

  #single(): void {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end === -1) throw new NotUnderstood('a quote is not closed');
    const text = this.#text.slice(this.#at + 1, end);
    this.#append(text);
    this.#line += text.split('\n').length - 1;
    this.#at = end + 1;
  }

  #double(): void {
    this.#append('');
    this.#at += 1;
    for (; this.#text[this.#at] !== '"';) {
      const char = this.#text[this.#at];
      if (char === undefined) throw new NotUnderstood('a quote is not closed');
      if (char === '$' || char === '`') this.#expand(true);
      else if (char === '\\') {
        const next = this.#text[this.#at + 1] ?? '';
        if (next !== '\n') this.#append(/["\\$`]/.test(next) ? next : `\\${next}`);
        this.#at += 2;
      } else {
        if (char === '\n') this.#line += 1;
        this.#append(char);
        this.#at += 1;
      }
    }
    this.#at += 1;
  }

  #expand(quoted: boolean): void {
    const rest = this.#text.slice(this.#at);
    const output = rest.startsWith('`') ? rest.indexOf('`', 1) + 1 : rest.startsWith('$(') ? closing(rest) : 0;
    if (output > 0) {
      this.#append('').unknown ??= 'the output of another command';
      this.#line += rest.slice(0, output).split('\n').length - 1;
      this.#at += output;
      return;
    }
    const [all, braced, fallback, plain] = /^\$(?:\{(\w+)(?::?-([^{}$`"']*))?\}|([A-Za-z_]\w*|\d))/.exec(rest) ?? [];
    if (all === undefined) {
      const [other = '$'] = /^\$(?:\{[^}]*\}|[@*#?$!-])/.exec(rest) ?? [];
      if (other.length > 1) this.#append('').unknown ??= other;
      else this.#append('$');
      this.#at += other.length;
      return;
    }
    this.#at += all.length;
    this.#insert(braced ?? plain!, fallback, quoted);
  }

  #insert(name: string, fallback: string | undefined, quoted: boolean): void {
    const value = /^\d+$/.test(name) ? (this.#parameters[Number(name) - 1] ?? '') : this.#variables.get(name);
    const text = (value === '' ? undefined : value) ?? fallback;
    if (text === undefined || value === null) {
      // An unset variable is empty in a shell; here it may be one of the login's or of the service manager's.
      this.#append('').unknown ??= value === '' ? null : `the variable ${name}`;
      return;
    }
    if (quoted) this.#append(text);
    else this.#split(text);
  }

  /** Without quotes the shell splits a value at its blanks. */
  #split(text: string): void {
    const [first = '', ...more] = text.split(/[ \t\n]+/);
    if (first !== '') this.#append(first);
    for (const part of more) {
      this.#endWord();
      if (part !== '') this.#append(part);
    }
  }

  #redirect(): void {
    if (this.#word?.plain === true && /^\d+$/.test(this.#word.text)) this.#word = null;
    this.#endWord();
    const [operator = ''] = /^(?:&>>?|<<-?|<&|>&|>>|>\||[<>])/.exec(this.#text.slice(this.#at)) ?? [];
    if (operator.startsWith('<<')) throw new NotUnderstood('it has a here-document');
    this.#at += operator.length;
    if (this.#text[this.#at] === '(') throw new NotUnderstood('it substitutes a process for a file');
    this.#skipsNext = true;
  }

  #operator(char: string): void {
    this.#endWord();
    const next = this.#text[this.#at + 1];
    if (char === '(' && this.#words.length > 0) {
      const [loop] = /^\(\(\s*;\s*;\s*\)\)/.exec(this.#text.slice(this.#at)) ?? [];
      if (loop === undefined || this.#words.at(-1)?.text !== 'for')
        throw new NotUnderstood('it has functions or arithmetic');
      this.#words = [];
      this.#depth += 1;
      this.#at += loop.length;
      return;
    }
    this.#endCommand();
    if (char === '(') this.#depth += 1;
    if (char === ')') this.#depth -= 1;
    if (char === '\n') this.#line += 1;
    this.#at += next === char && /[&|;]/.test(char) ? 2 : 1;
    if (next === char && char === ';') throw new NotUnderstood('it has a case');
  }

  #endWord(): void {
    const word = this.#word;
    this.#word = null;
    if (word === null) return;
    if (this.#skipsNext) {
      this.#skipsNext = false;
      return;
    }
    if (this.#words.length === 0) this.#firstLine = this.#line;
    if (this.#words.length === 0 && word.plain && this.#keyword(word.text)) return;
    this.#words.push(word);
  }

  /** Whether a first word only leads to the command behind it. */
  #keyword(text: string): boolean {
    if (/^(?:case|select|function|\(\()$/.test(text)) throw new NotUnderstood(`it has ${text}`);
    if (/^(?:while|until|if|\{)$/.test(text)) this.#depth += 1;
    if (/^(?:done|fi|\})$/.test(text)) this.#depth -= 1;
    if (text === 'if') this.#conditions += 1;
    if (text === 'fi' && (this.#conditions -= 1) === 0) this.#alternative = false;
    if (/^(?:else|elif)$/.test(text)) this.#alternative = true;
    return /^(?:while|until|do|done|if|then|elif|else|fi|!|time|\{|\})$/.test(text);
  }

  #endCommand(): void {
    this.#endWord();
    this.#skipsNext = false;
    const words = this.#words;
    this.#words = [];
    const [first] = words;
    if (first === undefined) return;
    if (first.text === 'for') throw new NotUnderstood('it has a loop over a list');
    const assigned = words.findIndex(({ text }) => !ASSIGNMENT.test(text));
    if (assigned === -1) this.#assign(words);
    else if (/^(?:export|readonly|local|declare|typeset)$/.test(first.text)) this.#assign(words.slice(1));
    else if (first.text === 'cd') this.#changeDirectory(words[1]);
    else if (first.text === '.' || first.text === 'source') this.#source(words[1]);
    else this.#keep(words);
  }

  #assign(words: readonly Word[]): void {
    for (const { text, unknown } of words) {
      const [, name, value = ''] = ASSIGNMENT.exec(text) ?? [];
      if (name !== undefined) this.#variables.set(name, unknown === null ? value : null);
    }
  }

  #changeDirectory(word: Word | undefined): void {
    const home = this.#variables.get('HOME') ?? '/';
    this.#directory =
      word === undefined ? home : word.text.startsWith('/') ? word.text : `${this.#directory}/${word.text}`;
  }

  #source(word: Word | undefined): void {
    if (word === undefined || word.unknown !== null) throw new NotUnderstood('it reads a file whose name is not known');
    const text = this.#readText(word.text);
    if (text === null) return;
    const environment = this.#environment();
    const other = new Script(text, { environment, directory: this.#directory, readText: this.#readText });
    this.#found.push(...other.read());
    for (const [name, value] of other.#variables) this.#variables.set(name, value);
  }

  #keep(words: readonly Word[]): void {
    this.#found.push({
      words: words.map(({ text }) => text),
      unknown: words.find(({ unknown }) => unknown !== null)?.unknown ?? null,
      environment: this.#environment(),
      directory: this.#directory,
      lines: [this.#firstLine, this.#line],
      nested: this.#depth > 0,
      alternative: this.#alternative,
    });
  }

  #environment(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#variables].filter((entry): entry is [string, string] => entry[1] !== null));
  }
}

const ASSIGNMENT = /^([A-Za-z_]\w*)=(.*)$/s;

/** The length of `$(…)` at the beginning of a text. */
function closing(text: string): number {
  let depth = 0;
  for (let at = 1; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    if (text[at] === ')' && (depth -= 1) === 0) return at + 1;
  }
  throw new NotUnderstood('a parenthesis is not closed');
}
