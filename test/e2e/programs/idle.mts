/** Does nothing, in a pod that other programs are run in. */
setInterval(() => undefined, 1e9);
process.on('SIGTERM', () => process.exit());
