export type PlistRead = string | number | boolean | readonly PlistRead[] | { readonly [key: string]: PlistRead };

/** The outermost dictionary of a property list in XML (plist(5)); null for anything else. */
export function parsePlist(text: string): Readonly<Record<string, PlistRead>> | null {
  const body = /<plist\b[^>]*>([^]*)<\/plist>/.exec(text.replaceAll(/<!--[^]*?-->/g, ''))?.[1];
  if (body === undefined) return null;
  const tags = [...body.matchAll(/<(\/?)(\w+)\s*(\/?)>([^<]*)/g)].map(([, close, name = '', empty, content = '']) => ({
    name,
    kind: close ? 'end' : empty ? 'empty' : 'start',
    content: unescape(content),
  }));
  const value = readValue(tags);
  return typeof value === 'object' && !Array.isArray(value) ? (value as Readonly<Record<string, PlistRead>>) : null;
}

interface Tag {
  readonly name: string;
  readonly kind: string;
  readonly content: string;
}

/** Takes one value off the beginning of the tags; null where there is none. */
function readValue(tags: Tag[]): PlistRead | null {
  const tag = tags.shift();
  if (tag === undefined || tag.kind === 'end') return null;
  if (tag.kind === 'empty')
    return tag.name === 'true'
      ? true
      : tag.name === 'false'
        ? false
        : tag.name === 'array'
          ? []
          : tag.name === 'dict'
            ? {}
            : '';
  switch (tag.name) {
    case 'array': {
      const all: PlistRead[] = [];
      for (let one = readValue(tags); one !== null; one = readValue(tags)) all.push(one);
      return all;
    }
    case 'dict':
      return readDict(tags);
    default:
      tags.shift(); // its end
      return tag.name === 'integer' || tag.name === 'real' ? Number(tag.content) : tag.content;
  }
}

function readDict(tags: Tag[]): PlistRead {
  const found: Record<string, PlistRead> = {};
  for (let tag = tags.shift(); tag !== undefined && tag.kind !== 'end'; tag = tags.shift()) {
    if (tag.kind === 'start') tags.shift(); // the end of the key
    const value = readValue(tags);
    if (value === null) break;
    found[tag.content] = value;
  }
  return found;
}

function unescape(text: string): string {
  const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replaceAll(
    /&(?:#(\d+)|#x([0-9a-fA-F]+)|(\w+));/g,
    (all, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return named[name] ?? all;
      return String.fromCodePoint(decimal === undefined ? parseInt(hex!, 16) : Number(decimal));
    },
  );
}
