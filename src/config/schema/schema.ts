import * as z from 'zod/mini';
import { OPTIONS } from '../../model/options.ts';
import type { Place } from '../values/path.ts';
import { BadValue, value } from '../values/value.ts';
import { FILE_OPTIONS, SECTIONS } from './file-options.ts';
import { FORWARD_KEYS } from './keys.ts';
import { keysOf, mapping } from './mapping.ts';
import { shapeOf } from './readers.ts';

/** What a tunnel may say. Made once for each place, since that takes longer than reading a tunnel with it. */
export function tunnelSchema(place: Place): TunnelSchema {
  const schema = schemas.get(place) ?? newTunnelSchema(place);
  schemas.set(place, schema);
  return schema;
}

type TunnelSchema = ReturnType<typeof newTunnelSchema>;

const schemas = new WeakMap<Place, TunnelSchema>();

function newTunnelSchema(place: Place) {
  return keysOf(servedKeys(place));
}

/** The keys that this version serves, each with the schema of its value. */
export function servedKeys(place: Place) {
  return shapeOf(OPTIONS, place);
}

/** `defaults`: the same, without what two tunnels cannot share. */
export function defaultsSchema(place: Place) {
  const listener = value((): never => {
    throw new BadValue('cannot be shared: every tunnel would ask for the same listener; write it under each tunnel');
  });
  return keysOf({ ...servedKeys(place), ...Object.fromEntries(FORWARD_KEYS.map((key) => [key, listener])) });
}

/** The top of the file; tunnels and defaults are read by themselves. */
export function fileSchema(place: Place) {
  return keysOf({
    defaults: z.unknown(),
    tunnels: z.unknown(),
    network: mapping(shapeOf(SECTIONS.network, place)),
    log: mapping(shapeOf(SECTIONS.log, place)),
    control: mapping(shapeOf(SECTIONS.control, place)),
    ...shapeOf(FILE_OPTIONS, place),
  });
}
