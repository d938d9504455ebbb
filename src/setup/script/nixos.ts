import { matchBlock } from '../../server-rules/rules.ts';
import { comment } from './quote.ts';
import type { ServerSetup } from '../../server-rules/server-setup.ts';

/**
 * The setup as a NixOS module, because NixOS generates the files that the script would write. It writes
 * `openssh.authorizedKeys.keys` to the same folder of root, and `extraConfig` to the end of sshd_config.
 */
export function nixosModule(setup: ServerSetup, server: string): string {
  const { user, keyLines, options, notes } = setup;
  const config = matchBlock(user, options);
  return `${comment([
    `A module for configuration.nix of ${server}: add this file to its imports, then run nixos-rebuild switch. To undo it, remove it from the imports.`,
    'Afterwards `sshd -T -C user=' + user + ',host=localhost,addr=127.0.0.1` prints what is in force.',
    ...notes.flatMap((note) => ['', `Note: ${note}`]),
  ])}
{
  users.groups.${nixString(user)} = { };
  users.users.${nixString(user)} = {
    isSystemUser = true;
    group = ${nixString(user)};
    hashedPassword = "*"; # no password matches; "!" would lock the account, keys included
    openssh.authorizedKeys.keys = [
${keyLines.map((line) => `      ${nixString(line)}`).join('\n')}
    ];
  };
  services.openssh = {
    enable = true;
    # "Match all" ends the block before the lines of other modules. Of several values for this user, sshd takes the first.
    extraConfig = builtins.concatStringsSep "\\n" [
${[...config, 'Match all', ''].map((line) => `      ${nixString(line)}`).join('\n')}
    ];
  };
}
`;
}

/** A string literal of the Nix language. */
function nixString(text: string): string {
  return `"${text.replaceAll(/["\\]|\$\{/g, '\\$&')}"`;
}
