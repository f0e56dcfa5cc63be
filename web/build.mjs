// Builds the page into dist/: app.js, app.css, index.html, favicon.svg, licenses.txt, each with a gzip twin, and
// assets.inc, the list from which src/serve/page_assets.c embeds them.
//
//   node build.mjs [FOLDER]     default: dist, beside this file
//
// The same sources and the same package-lock.json give the same bytes, the gzip twins and their sizes excepted: zlib
// differs between versions of node.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, 'dist'));
const MOST_RAW = 900_000; // bytes of all assets
const MOST_GZIP = 350_000;

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx', style: 'src/app.css' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome110', 'firefox115', 'safari16.4'],
  charset: 'utf8',
  legalComments: 'none', // the licences stand in licenses.txt
  jsx: 'automatic',
  jsxImportSource: 'preact',
  define: { 'process.env.NODE_ENV': '"production"' },
  outdir: 'out',
  write: false,
  metafile: true,
});

// Every package of which a byte is in the bundle, with its licence as its authors wrote it.
function licenses() {
  const inputs = Object.values(result.metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs).filter(([, part]) => part.bytesInOutput > 0).map(([path]) => path),
  );
  const folders = new Set();
  for (const path of inputs) {
    const match = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (match) folders.add(match[0] + '');
  }
  const parts = [...folders].sort().map((folder) => {
    const about = JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8'));
    const files = readdirSync(join(here, folder)).filter((name) => /^(licen[cs]e|copying)/i.test(name)).sort();
    if (files.length === 0) throw new Error(`${folder} has no licence`);
    const text = files.map((name) => readFileSync(join(here, folder, name), 'utf8').trim()).join('\n\n');
    return `${about.name} ${about.version} (${about.license})\n\n${text}`;
  });
  const line = '\n\n' + '-'.repeat(78) + '\n\n';
  return ['The chat page of twllm contains these packages.', ...parts].join(line).replace(/\r/g, '').replace(/[ \t]+$/gm, '') + '\n';
}

const built = (suffix) => Buffer.from(result.outputFiles.find((file) => file.path.endsWith(suffix)).contents);
const assets = [
  ['/', 'index.html', 'text/html; charset=utf-8', readFileSync(join(here, 'src/index.html'))],
  ['/app.js', 'app.js', 'text/javascript; charset=utf-8', built('app.js')],
  ['/app.css', 'app.css', 'text/css; charset=utf-8', built('style.css')],
  ['/favicon.svg', 'favicon.svg', 'image/svg+xml', readFileSync(join(here, 'src/favicon.svg'))],
  ['/licenses.txt', 'licenses.txt', 'text/plain; charset=utf-8', Buffer.from(licenses())],
];

const headers = JSON.parse(readFileSync(join(here, 'headers.json'), 'utf8'));
let list =
  '/* Made by web/build.mjs. PAGE_ASSET(name, path, content type, file, bytes, bytes of its gzip twin, hash), where the\n' +
  ' * hash is the first 16 hexadecimal digits of its SHA-256; PAGE_HEADER(name, value) */\n';
let raw = 0;
let zipped = 0;
if (existsSync(target)) rmSync(target, { recursive: true });
mkdirSync(target, { recursive: true });
for (const [path, file, type, bytes] of assets) {
  const gzip = gzipSync(bytes, { level: 9 });
  writeFileSync(join(target, file), bytes);
  writeFileSync(join(target, file + '.gz'), gzip);
  raw += bytes.length;
  zipped += gzip.length;
  const etag = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  list += `PAGE_ASSET(${file.replace(/\W/g, '_')}, "${path}", "${type}", "${file}", ${bytes.length}, ${gzip.length}, "${etag}")\n`;
  console.log(`${file.padEnd(14)} ${String(bytes.length).padStart(8)} bytes, ${String(gzip.length).padStart(7)} compressed`);
}
for (const [name, value] of Object.entries(headers)) list += `PAGE_HEADER("${name}", "${value}")\n`;
writeFileSync(join(target, 'assets.inc'), list);
console.log(`${'all'.padEnd(14)} ${String(raw).padStart(8)} bytes, ${String(zipped).padStart(7)} compressed`);
if (raw > MOST_RAW || zipped > MOST_GZIP) throw new Error(`the page has outgrown ${MOST_RAW} bytes, ${MOST_GZIP} compressed`);
