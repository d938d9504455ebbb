import { isMap, isNode, parse, parseDocument } from 'yaml';

/** Adds a tunnel to the text of a configuration; everything else, comments included, is unchanged. `block` is its text, indented. */
export function addTunnel(text: string, name: string, keys: unknown, block: (indent: string) => string): string {
  const document = parseDocument(text);
  const tunnels = document.get('tunnels');
  const [first] = isMap(tunnels) ? tunnels.items : [];
  if (!isMap(tunnels) || tunnels.flow === true || !isNode(first?.key) || !first.key.range || !tunnels.range) {
    document.setIn(['tunnels', name], keys);
    return document.toString({ lineWidth: 0 });
  }
  const start = first.key.range[0];
  const indent = ' '.repeat(start - (text.lastIndexOf('\n', start - 1) + 1));
  const end = tunnels.range[1];
  const before = text.slice(0, end).replace(/\n*$/, '\n');
  return `${before}${block(indent)}${text.slice(end).replace(/^\n*/, '')}`;
}

/** Adds the tunnels of another configuration, as printConfig() prints it. */
export function addPrinted(text: string, printed: string): string {
  const { tunnels } = parse(printed) as { readonly tunnels: Readonly<Record<string, unknown>> };
  const lines = printed.split('\n');
  return Object.entries(tunnels).reduce((all, [name, keys]) => {
    const from = lines.findIndex((line) => /^ {2}\S/.test(line) && Object.keys(parse(line) as object)[0] === name);
    const rest = lines.slice(from + 1);
    const length = rest.findIndex((line) => !line.startsWith('   '));
    const own = [lines[from]!, ...rest.slice(0, length)];
    return addTunnel(all, name, keys, (indent) => own.map((line) => `${indent}${line.slice(2)}\n`).join(''));
  }, text);
}
