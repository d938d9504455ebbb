import { testUnderNode } from './node-dependent.ts';

testUnderNode('24');
