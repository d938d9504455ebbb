import { withoutPasswords } from './not-understood.ts';

/** The settings of a unit: `Section.Key` to its values. */
type Settings = ReadonlyMap<string, readonly string[]>;

/**
 * A setting that changes the files, the network or the variables of the command, or restricts what it reaches, so that it cannot be run by
 * the service; null for none.
 */
export function unsupportedSetting(unit: Settings): string | null {
  for (const [name, values] of unit) {
    const key = name.replace(/^Service\./, '');
    const value = values.at(-1);
    if (value !== undefined && UNSUPPORTED.test(key) && !/^(?:no|false|off|0)$/i.test(value))
      return `its ${key}=${value} changes what the command sees or reaches, and the service does not have it`;
  }
  return null;
}

const UNSUPPORTED =
  /^(?:Root(?:Directory|Image|Hash|Verity|Ephemeral)\w*|Bind(?:ReadOnly)?Paths|MountImages|ExtensionImages|ExtensionDirectories|TemporaryFileSystem|PassEnvironment|UnsetEnvironment|(?:Load|Set)Credential\w*|ImportCredential|PrivateNetwork|NetworkNamespacePath|IPAddress(?:Allow|Deny)|IP(?:In|E)gressFilterPath|SocketBind(?:Allow|Deny)|RestrictNetworkInterfaces|DynamicUser|PAMName|SELinuxContext|AppArmorProfile|Sockets)$|^Unit\.JoinsNamespaceOf$/;

/** The settings that are dropped, as sentences, without those that tunneld's own unit replaces. */
export function droppedSettings(unit: Settings): readonly string[] {
  return [...unit]
    .filter(([name, values]) => values.length > 0 && !REPLACED.test(name) && !isAboutNetwork(name, values))
    .map(([name, values]) => {
      const [, key = ''] = name.split('.');
      return withoutPasswords(
        `not taken over from the old unit: ${values.map((value) => `${key}=${value}`).join('; ')}`,
      );
    });
}

/** tunneld waits for the network itself. */
function isAboutNetwork(name: string, values: readonly string[]): boolean {
  return (
    /^Unit\.(?:After|Wants|Requires|BindsTo|PartOf)$/.test(name) &&
    values.every((value) => /^(?:network[\w-]*\.target\s*)+$/.test(value))
  );
}

/** Settings that are taken over, that the service has itself, or that only describe. */
const REPLACED = new RegExp(
  [
    /^Install\./,
    /^Unit\.(?:Description|Documentation|StartLimit\w*|DefaultDependencies|SourcePath)$/,
    /^Service\.(?:ExecStart|User|Environment|EnvironmentFile|WorkingDirectory)$/,
    /^Service\.(?:Type|Restart\w*|RemainAfterExit|PIDFile|GuessMainPID|SuccessExitStatus|NotifyAccess|WatchdogSec|StartLimit\w*)$/,
    /^Service\.(?:Timeout\w*|Kill\w*|SendSIG\w*|RestartKillSignal|FinalKillSignal|OOM\w*|Syslog\w*|Standard(?:Input|Output|Error)|LogLevelMax)$/,
    /^Service\.(?:NoNewPrivileges|Protect\w+|Private(?:Tmp|Devices|Users|Mounts|IPC)|Restrict(?:Namespaces|Realtime|SUIDSGID)|Lock\w+|MemoryDenyWriteExecute|RemoveIPC|UMask|Limit\w+|Nice)$/,
  ]
    .map(({ source }) => source)
    .join('|'),
);
