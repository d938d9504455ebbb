import { matchBlock } from '../../server-rules/rules.ts';
import { comment } from './quote.ts';
import type { ServerSetup } from '../../server-rules/server-setup.ts';

/**
 * The same for NixOS, as an attribute set of its configuration: there the files that the script writes are made from it. NixOS
 * keeps `openssh.authorizedKeys.keys` in the same folder of root, and `extraConfig` at the end of sshd_config.
 */
export function nixosModule(setup: ServerSetup, server: string): string {
  const { user, keyLines, options, notes } = setup;
  const config = matchBlock(user, options);
  return `${comment([
    `A module for configuration.nix of ${server}: add this file to its imports, then run nixos-rebuild switch. Undone by taking it out.`,
    'Afterwards `sshd -T -C user=' + user + ',host=localhost,addr=127.0.0.1` says what is in force.',
    ...notes.flatMap((note) => ['', `Note: ${note}`]),
  ])}
{
  users.groups.${nixString(user)} = { };
  users.users.${nixString(user)} = {
    isSystemUser = true;
    group = ${nixString(user)};
    hashedPassword = "*"; # none that anybody can type; "!" would lock the account, keys included
    openssh.authorizedKeys.keys = [
${keyLines.map((line) => `      ${nixString(line)}`).join('\n')}
    ];
  };
  services.openssh = {
    enable = true;
    # "Match all" ends the block, for what other modules add. Where theirs decide about this user too, the first one wins.
    extraConfig = builtins.concatStringsSep "\\n" [
${[...config, 'Match all', ''].map((line) => `      ${nixString(line)}`).join('\n')}
    ];
  };
}
`;
}

/** Nix language, string literals. */
function nixString(text: string): string {
  return `"${text.replaceAll(/["\\]|\$\{/g, '\\$&')}"`;
}
