// Runs the tests of the page: node test/run.mjs [PART OF A NAME]
import { browserPath, runAll } from './harness.mjs';

if (!browserPath) {
  console.log('no Chromium: scripts/ensure-web.sh installs it\n0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
for (const file of ['pure', 'chat', 'history', 'input', 'hostile', 'live', 'board']) await import(`./${file}.mjs`);
process.exit((await runAll(process.argv[2])) ? 0 : 1);
