import type { Keeper } from './keeper.ts';
import type { OldMachine } from './machine.ts';
import { keepersOfLaunchd } from './plists.ts';
import { keepersOfProcesses } from './processes.ts';
import { keepersOfBoot, keepersOfCron } from './schedules.ts';
import { keepersOfUnits } from './units.ts';

/** All that keeps ssh tunnels up on a machine today, and all that may and cannot be read. */
export function findKeepers(machine: OldMachine): readonly Keeper[] {
  const files = [
    ...(machine.platform === 'darwin' ? keepersOfLaunchd(machine) : keepersOfUnits(machine)),
    ...keepersOfCron(machine),
    ...keepersOfBoot(machine),
  ];
  return [...files, ...keepersOfProcesses(machine, files)];
}
