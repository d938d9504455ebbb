/** systemd/tunnel.service as the package brings it: with the program where the package has it. */
export function packagedUnit(unit) {
  const changed = unit
    .replaceAll(/^(Exec\w+=)\S*\/tunneld\b/gm, '$1/usr/bin/tunneld')
    .replace(/^Description=.*\n(?!Documentation=)/m, '$&Documentation=man:tunneld(1)\n')
    .replace(/ To install it by hand:\n(?:# {3}.*\n)+/, '\n');
  if (!changed.includes('\nExecStart=/usr/bin/tunneld run\n')) throw new Error('the unit does not start tunneld');
  if (changed.includes('\nConfigurationDirectoryMode=')) return changed;
  // The maintainer script makes that directory for the service alone, and systemd remarks upon any other mode than this.
  return changed.replace('\nConfigurationDirectory=tunneld\n', '$&ConfigurationDirectoryMode=0750\n');
}
