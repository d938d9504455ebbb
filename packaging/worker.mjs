// src/worker.ts for everything that runs from the sources: a thread does not inherit the TypeScript loader.
import { register } from 'tsx/esm/api';

register();
await import('../src/worker.ts');
