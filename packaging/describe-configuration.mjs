import { tsImport } from 'tsx/esm/api';

/** The options of a configuration as plain data, from the program's own table, so that the documents cannot go stale. */
export async function describeConfiguration() {
  const { OPTIONS } = await tsImport('../src/model/options.ts', import.meta.url);
  const { describeDefault } = await tsImport('../src/config/schema/describe.ts', import.meta.url);
  const { configSchema } = await tsImport('../src/config/schema/json-schema.ts', import.meta.url);
  const options = Object.entries(OPTIONS).map(([name, option]) => ({
    name,
    text: option.text,
    default: describeDefault(option),
    ssh: option.ssh?.name ?? null,
  }));
  return { options, schema: configSchema() };
}
