import * as z from 'zod/mini';
import { OPTIONS } from '../../model/options.ts';
import type { ValueContext } from '../values/path.ts';
import { BadValue, value } from '../values/value.ts';
import { FILE_OPTIONS, SECTIONS } from './file-options.ts';
import { FORWARD_KEYS } from './keys.ts';
import { keysOf, mapping } from './mapping.ts';
import { shapeOf } from './readers.ts';

/** The schema of a tunnel. It is made once for each context, because that takes longer than reading a tunnel with it. */
export function tunnelSchema(context: ValueContext): TunnelSchema {
  const schema = schemas.get(context) ?? newTunnelSchema(context);
  schemas.set(context, schema);
  return schema;
}

type TunnelSchema = ReturnType<typeof newTunnelSchema>;

const schemas = new WeakMap<ValueContext, TunnelSchema>();

function newTunnelSchema(context: ValueContext) {
  return keysOf(servedKeys(context));
}

/** The keys of a tunnel, each with the schema of its value. */
export function servedKeys(context: ValueContext) {
  return shapeOf(OPTIONS, context);
}

/** The schema of `defaults`: the same without forwards. */
export function defaultsSchema(context: ValueContext) {
  const listener = value((): never => {
    throw new BadValue(
      'cannot be shared, because every tunnel would ask for the same listener: write it below each tunnel',
    );
  });
  return keysOf({ ...servedKeys(context), ...Object.fromEntries(FORWARD_KEYS.map((key) => [key, listener])) });
}

/** The schema of the file; tunnels and defaults are read separately. */
export function fileSchema(context: ValueContext) {
  return keysOf({
    defaults: z.unknown(),
    tunnels: z.unknown(),
    network: mapping(shapeOf(SECTIONS.network, context)),
    log: mapping(shapeOf(SECTIONS.log, context)),
    control: mapping(shapeOf(SECTIONS.control, context)),
    ...shapeOf(FILE_OPTIONS, context),
  });
}
