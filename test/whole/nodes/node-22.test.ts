import { testUnderNode } from './node-dependent.ts';

testUnderNode('22');
