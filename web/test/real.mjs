// Starts the real server, on a port that is free.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from './server.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const program = join(process.env.TWLLM_BUILD ?? join(root, 'build'), 'twllm');

export async function serve(...options) {
  const child = spawn(program, ['serve', '--port', '0', '--kv-cache-memory', String(256 << 20), ...options]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes));
  for (let i = 0; i < 600 && child.exitCode === null; i++) {
    const url = /https?:\/\/[\w.[\]:]*:\d+/.exec(output)?.[0];
    if (url) return { url: url + '/', close: () => child.kill(), requests: [] };
    await sleep(50);
  }
  throw new Error('twllm serve did not start: ' + output);
}

export const serves = existsSync(program) && spawnSync(program, ['serve', '--help']).status === 0;
