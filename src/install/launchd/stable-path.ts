/**
 * The path of a program that stays when the program is updated. Homebrew keeps each version in a Cellar, from which an update takes
 * it away, and a link to the present one in opt (https://docs.brew.sh/Formula-Cookbook, opt_prefix). Node tells its own path with
 * all links followed. `real` follows links, and answers null where nothing is.
 */
export function stablePath(path: string, real: (path: string) => string | null): string {
  const [, prefix, formula, rest] = /^(.*)\/Cellar\/([^/]+)\/[^/]+\/(.+)$/s.exec(path) ?? [];
  if (prefix === undefined) return path;
  const candidates = [`${prefix}/opt/${formula}/${rest}`, `${prefix}/${rest}`];
  return candidates.find((candidate) => real(candidate) === real(path)) ?? path;
}
