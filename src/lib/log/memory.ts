/** The most recent log lines, bounded in number and size, with subscribers for new ones. */
export interface LogMemory {
  add(line: string): void;
  /** The last lines that pass, oldest first. */
  recent(count: number, accept: (line: string) => boolean): readonly string[];
  /** The result unsubscribes. */
  follow(listener: (line: string) => void): () => void;
}

export function createLogMemory(maxLines = 1000, maxCharacters = 256 * 1024): LogMemory {
  const lines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  let characters = 0;
  return {
    add: (line) => {
      lines.push(line);
      characters += line.length;
      while (lines.length > 1 && (lines.length > maxLines || characters > maxCharacters)) {
        characters -= lines.shift()!.length;
      }
      for (const listener of listeners) listener(line);
    },
    recent: (count, accept) => (count === 0 ? [] : lines.filter(accept).slice(-count)),
    follow: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
