// As `node --no-addons`, and as a processor for which there is none.
process.dlopen = () => {
  throw new Error('no addons here');
};

const { testSealing } = await import('./sealing.ts');
testSealing(false);
