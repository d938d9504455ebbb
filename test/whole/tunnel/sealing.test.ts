import { testSealing } from './sealing.ts';

testSealing(true);
