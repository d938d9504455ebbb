import { systemEnvironment } from '../../config/input/environment.ts';
import { readHostKeyLines } from '../../host/host-keys.ts';
import { clientText } from '../../setup/client.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';

export interface ClientSetupOptions {
  readonly user: string | null;
  readonly alias: string | null;
}

/** Prints what people on the other side add to their files; `hostKeys` is the folder of this device's own host keys. */
export async function printClientSetup(
  config: string | null,
  name: string,
  { user, alias }: ClientSetupOptions,
  hostKeys = '/etc/ssh',
): Promise<void> {
  const { tunnel } = await configuredTunnel(config, name);
  const { env, userName } = systemEnvironment();
  process.stdout.write(
    clientText(tunnel, {
      // With sudo the person who logs in here is its caller.
      user: user ?? (env['SUDO_USER'] || userName),
      alias: alias ?? name,
      hostKeys: await readHostKeyLines(hostKeys),
    }),
  );
}
