/**
 * The words of a shell command; null where it is more than one simple command, so that only running it would show what it does.
 * Variables are replaced from `env`; an unknown one makes it null too.
 */
// oxlint-disable-next-line complexity -- a scanner: one branch for each kind of character, in the order in which sh looks at them
export function shellWords(text: string, env: Readonly<Record<string, string>>): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!;
    if (quote === "'") {
      if (char === "'") quote = '';
      else word += char;
    } else if (char === '$') {
      const [all, braced, plain] = /^\$(?:\{(\w+)\}|([A-Za-z_]\w*))/.exec(text.slice(at)) ?? [];
      const value = env[braced ?? plain ?? ''];
      // Without quotes the shell would split the value.
      if (all === undefined || value === undefined || (quote === '' && /\s/.test(value))) return null;
      word = (word ?? '') + value;
      at += all.length - 1;
    } else if (char === '\\') {
      const next = text[(at += 1)] ?? '';
      const kept = quote === '"' && !'"\\$`'.includes(next) ? '\\' : '';
      word = (word ?? '') + (next === '\n' ? '' : kept + next);
    } else if (char === '`') return null;
    else if (quote === '"') {
      if (char === '"') quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/[ \t]/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (char === '~' && word === null && /^(?:[/\s]|$)/.test(text.slice(at + 1))) word = env['HOME'] ?? '~';
    else if (/[;&|<>()*?[\]{}!\n]/.test(char) || (/[#~]/.test(char) && word === null)) return null;
    else word = (word ?? '') + char;
  }
  if (quote !== '') return null;
  return word === null ? words : [...words, word];
}
