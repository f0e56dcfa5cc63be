// Takes the pictures of docs/images: node test/screenshots.mjs [FOLDER]. Two show the embedded
// model; the third an answer that was written here, to show what the page can show. Chinese needs a font: Debian's
// fonts-noto-cjk.

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, Tab } from './harness.mjs';
import { serve } from './real.mjs';
import { startServer } from './server.mjs';

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../../docs/images');
mkdirSync(folder, { recursive: true });

const ENGLISH = `Three facts, then the code:

1. The **softmax** of a vector is

$$\\operatorname{softmax}(x)_i = \\frac{e^{x_i}}{\\sum_j e^{x_j}}$$

2. Subtracting the maximum changes nothing and avoids overflow.
3. Halves are summed in \`float\`.

\`\`\`c
/* softmax in place; n > 0 */
static void softmax(float *x, int n)
{
    float most = x[0], sum = 0;
    for (int i = 1; i < n; i++) most = fmaxf(most, x[i]);
    for (int i = 0; i < n; i++) sum += x[i] = expf(x[i] - most);
    for (int i = 0; i < n; i++) x[i] /= sum;
}
\`\`\`
`;
const browser = await launch();
async function picture(name, server, options, questions) {
  const tab = await Tab.open(browser, { server, browser: { deviceScaleFactor: 1, ...options } });
  for (const question of questions) {
    if (question === null) await tab.page.keyboard.press('Control+Shift+O');
    else {
      await tab.field.fill(question);
      await tab.page.locator('.round').click();
      await tab.settled();
    }
  }
  await tab.page.waitForTimeout(150);
  await tab.page.screenshot({ path: join(folder, name) });
  await tab.clean();
  await tab.close();
}
const desktop = { width: 1180, height: 860 };
const chinese = ['你好，請介紹一下臺灣。', '謝謝你！臺灣有什麼好吃的？', '那臺南呢？'];
await picture('page-light.png', await serve(), { locale: 'zh-TW', viewport: desktop }, ['臺北有哪些景點？', null, '高雄好玩嗎？', null, ...chinese]);
await picture('page-phone.png', await serve(), { locale: 'zh-TW', viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true }, chinese.slice(0, 2));
const written = await startServer();
written.models = [{ id: 'sample', max_model_len: 8192 }];
written.answer = async (reply) => {
  await reply.text(ENGLISH, { pieces: 2, every: 14 });
  reply.end();
};
await picture('page-dark.png', written, { locale: 'en-US', colorScheme: 'dark', viewport: desktop }, ['Explain softmax and write it in C']);
await browser.close();
