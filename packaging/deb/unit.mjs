/** systemd/tunnel.service as the package brings it: with the program where the package has it. */
export function packagedUnit(unit) {
  const changed = unit
    .replaceAll(/^(Exec\w+=)\S*\/tunneld\b/gm, '$1/usr/bin/tunneld')
    .replace(/^Description=.*\n/m, '$&Documentation=man:tunneld(1)\n');
  if (!changed.includes('\nExecStart=/usr/bin/tunneld run\n')) throw new Error('the unit does not start tunneld');
  return changed;
}
