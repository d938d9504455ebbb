/** systemd/tunnel.service for the package: with the path of the packaged program. */
export function packagedUnit(unit) {
  const changed = unit
    .replaceAll(/^(Exec\w+=)\S*\/tunneld\b/gm, '$1/usr/bin/tunneld')
    .replace(/^Description=.*\n/m, '$&Documentation=man:tunneld(1)\n');
  if (!changed.includes('\nExecStart=/usr/bin/tunneld run\n')) throw new Error('the unit does not start tunneld');
  return changed;
}
