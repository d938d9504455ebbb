/** Files of EnvironmentFile= and what systemd makes of them, which is seen in a box. */
export const ENVIRONMENT_FILES: readonly (readonly [text: string, found: Readonly<Record<string, string>>])[] = [
  ['A=b', { A: 'b' }],
  ['A=b \nB=c\n', { A: 'b', B: 'c' }],
  ['A=one \\\n  two\nB=3\n', { A: 'one   two', B: '3' }],
  ['A="one \\\ntwo"\nB=3\n', { A: 'one two', B: '3' }],
  ['A= "x" y\n', { A: 'xy' }],
  ['A=x "y" \n', { A: 'x "y"' }],
  ['A=\'a b\'"c d"\nB=1\n', { A: 'a bc d', B: '1' }],
  ['A="a\nb\\"c\\x"\n', { A: 'a\nb"c\\x' }],
  ['A=x\\ \nB=y\\\\ \n', { A: 'x ', B: 'y\\' }],
  ['; c\n # d\n  K = v\nnoequal\n1A=x\nA=\nB="x', { K: 'v', A: '', B: 'x' }],
  ['# c \\\\\nA=x\\', { A: 'x' }],
  ['A=\\\n y\nA2=x\r\nB=y\n', { A: ' y', A2: 'x', B: 'y' }],
];
