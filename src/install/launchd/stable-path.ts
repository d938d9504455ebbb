/**
 * The path of a program that survives its updates. Homebrew keeps each version in a Cellar, which an update removes, and links the
 * present one from opt (https://docs.brew.sh/Formula-Cookbook, opt_prefix). process.execPath has all links resolved. `real` resolves
 * links, null where the path does not exist.
 */
export function stablePath(path: string, real: (path: string) => string | null): string {
  const [, prefix, formula, rest] = /^(.*)\/Cellar\/([^/]+)\/[^/]+\/(.+)$/s.exec(path) ?? [];
  if (prefix === undefined) return path;
  const candidates = [`${prefix}/opt/${formula}/${rest}`, `${prefix}/${rest}`];
  return candidates.find((candidate) => real(candidate) === real(path)) ?? path;
}
