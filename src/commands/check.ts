import { systemEnvironment } from '../config/environment.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { reportProblems } from './config-problems.ts';
import { EXIT } from './exit.ts';
import { findConfig } from './find-config.ts';

export async function check(flag: string | null): Promise<number> {
  const file = await findConfig(flag);
  try {
    const config = await loadConfig(file, systemEnvironment());
    const names = config.tunnels.map((tunnel) => tunnel.name);
    process.stdout.write(
      `${config.file}: ${names.length === 1 ? '1 tunnel' : `${names.length} tunnels`}: ${names.join(', ')}\n`,
    );
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return reportProblems(error);
  }
}
