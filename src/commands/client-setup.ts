import { systemEnvironment } from '../config/input/environment.ts';
import { readHostKeyLines } from '../host/host-keys.ts';
import { UserError } from '../lib/user-error.ts';
import { clientText } from '../setup/client.ts';
import { configuredTunnel } from './find/configured-tunnel.ts';
import { EXIT } from './text/exit-code.ts';
import { report } from './text/report.ts';

interface ClientSetupOptions {
  readonly user: string | null;
  readonly alias: string | null;
}

/** Writes what people on the other side put into their files; `hostKeys` is the folder of this device's own host keys. */
export async function printClientSetup(
  config: string | null,
  name: string,
  { user, alias }: ClientSetupOptions,
  hostKeys = '/etc/ssh',
): Promise<number> {
  const found = await configuredTunnel(config, name);
  if ('exit' in found) return found.exit;
  const { env, userName } = systemEnvironment();
  try {
    process.stdout.write(
      clientText(found.tunnel, {
        // Behind sudo stands the person who logs in here.
        user: user ?? (env['SUDO_USER'] || userName),
        alias: alias ?? name,
        hostKeys: await readHostKeyLines(hostKeys),
      }),
    );
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    report(error.message);
    return EXIT.failed;
  }
}
