/** The settings of a unit: `Section.Key` to its values. */
type Settings = ReadonlyMap<string, readonly string[]>;

/** Why the command cannot be run elsewhere than in the unit, or null: it sees other files, another network or other variables there. */
export function unsupportedSetting(unit: Settings): string | null {
  for (const [name, values] of unit) {
    const key = name.replace(/^Service\./, '');
    const value = values.at(-1);
    if (value !== undefined && UNSUPPORTED.test(key) && !/^(?:no|false|off|0)$/i.test(value))
      return `its ${key}=${value} changes what the command sees, and the service would be without it`;
  }
  return null;
}

const UNSUPPORTED =
  /^(?:Root(?:Directory|Image|Hash|Verity|Ephemeral)\w*|Bind(?:ReadOnly)?Paths|MountImages|ExtensionImages|ExtensionDirectories|TemporaryFileSystem|PassEnvironment|UnsetEnvironment|(?:Load|Set)Credential\w*|ImportCredential|PrivateNetwork|NetworkNamespacePath|DynamicUser|PAMName|SELinuxContext|AppArmorProfile|Sockets)$|^Unit\.JoinsNamespaceOf$/;

/** What is said and not done any more, as sentences; what tunneld's own unit does in its place is not worth one. */
export function droppedSettings(unit: Settings): readonly string[] {
  return [...unit]
    .filter(([name, values]) => values.length > 0 && !REPLACED.test(name) && !isAboutNetwork(name, values))
    .map(([name, values]) => {
      const [, key = ''] = name.split('.');
      return `not taken over from the old unit: ${values.map((value) => `${key}=${value}`).join('; ')}`;
    });
}

/** tunneld waits for the network itself. */
function isAboutNetwork(name: string, values: readonly string[]): boolean {
  return (
    /^Unit\.(?:After|Wants|Requires|BindsTo|PartOf)$/.test(name) &&
    values.every((value) => /^(?:network[\w-]*\.target\s*)+$/.test(value))
  );
}

/** What is read, what the service has of its own, and what only describes. */
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
