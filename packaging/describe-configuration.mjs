import { importSource } from './import-source.mjs';

/** The options of a configuration as plain data, from the program's own table, so that the documents cannot go stale. */
export async function describeConfiguration() {
  const { OPTIONS } = await importSource('model/options.ts');
  const { describeDefault } = await importSource('config/schema/describe.ts');
  const { configSchema } = await importSource('config/schema/json-schema.ts');
  const options = Object.entries(OPTIONS).map(([name, option]) => ({
    name,
    text: option.text,
    default: describeDefault(option),
    ssh: option.ssh?.name ?? null,
  }));
  return { options, schema: configSchema() };
}
