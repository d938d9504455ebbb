import { EXIT } from '../../lib/exit-code.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import { createMetrics } from '../../metrics/metrics.ts';
import { request } from '../find/daemon-request.ts';

/** Prints what /metrics would serve, for the textfile collector of node_exporter. */
export async function printMetrics(config: string | null, name: string | null): Promise<number> {
  if (name !== null) throw wrongUsage('--prometheus prints the metrics of all tunnels: leave the name out');
  const status = await request(config, { command: 'status' }, null);
  process.stdout.write(await createMetrics('prometheus')(() => status));
  return EXIT.ok;
}
