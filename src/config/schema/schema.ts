import * as z from 'zod/mini';
import { type Endpoint, formatEndpoint, isForThisDevice } from '../../model/endpoint.ts';
import { OPTIONS } from '../../model/options.ts';
import type { ValueContext } from '../values/path.ts';
import { BadValue, refuse, transformed, value } from '../values/value.ts';
import { FILE_OPTIONS, SECTIONS } from './file-options.ts';
import { FORWARD_KEYS } from './keys.ts';
import { keysOf, mapping } from './mapping.ts';
import { shapeOf } from './readers.ts';

/** The schema of a tunnel. It is made once for each context, because that takes longer than reading a tunnel with it. */
export function tunnelSchema(context: ValueContext): TunnelSchema {
  const schema = schemas.get(context) ?? keysOf(servedKeys(context));
  schemas.set(context, schema);
  return schema;
}

type TunnelSchema = ReturnType<typeof keysOf<ReturnType<typeof servedKeys>>>;

const schemas = new WeakMap<ValueContext, TunnelSchema>();

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
    metrics: transformed(mapping(shapeOf(SECTIONS.metrics, context)), checkMetrics),
    heartbeat: mapping(shapeOf(SECTIONS.heartbeat, context)),
    onChange: mapping(shapeOf(SECTIONS.onChange, context)),
    ...shapeOf(FILE_OPTIONS, context),
  });
}

/** What everybody on the network could read is behind a token, or not there. */
function checkMetrics<T extends { readonly listen?: Endpoint | undefined; readonly tokenFile?: string | undefined }>(
  metrics: T,
  context: z.core.ParsePayload,
): T {
  if (metrics.listen === undefined || metrics.tokenFile !== undefined || isForThisDevice(metrics.listen))
    return metrics;
  const message = `listens on ${formatEndpoint(metrics.listen)}, where others than this device can connect, without a tokenFile: name one (it is made where it is missing), or listen on 127.0.0.1`;
  return refuse(context, message, metrics);
}
