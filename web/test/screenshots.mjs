// Takes the pictures of docs/images: node test/screenshots.mjs [FOLDER]. The answers are written here, so that the
// pictures show what the page can show. Chinese needs a font: Debian's fonts-noto-cjk.

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, Tab } from './harness.mjs';

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../../docs/images');
mkdirSync(folder, { recursive: true });

const TABLE = `兩座城市各有特色，簡單比較如下：

| | 臺北 | 高雄 |
|---|---|---|
| 氣候 | 亞熱帶，冬天多雨 | 熱帶，日照充足 |
| 交通 | 捷運路網密集 | 捷運與環狀輕軌 |
| 小吃 | 牛肉麵、滷肉飯 | 虱目魚、木瓜牛奶 |

**建議：**想逛博物館就去臺北，想看海就去高雄。搭高鐵約 $t = \\dfrac{339}{235} \\approx 1.4$ 小時。

\`\`\`python
def hours(km: float, speed: float = 235) -> float:
    """高鐵車程（小時）"""
    return km / speed
\`\`\`
`;
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
const PHONE = '虱目魚粥、牛肉湯和擔仔麵最有名。\n\n- **牛肉湯**：清晨現切，適合當早餐\n- **虱目魚粥**：湯清味鮮\n- **擔仔麵**：份量小，可以多吃幾家\n';

const browser = await launch();
async function picture(name, options, questions, answers) {
  const tab = await Tab.open(browser, { browser: { deviceScaleFactor: 1, ...options }, setup: { models: [{ id: 'Llama-3-Taiwan-8B-Instruct', max_model_len: 8192 }] } });
  let n = 0;
  tab.server.answer = async (reply) => {
    await reply.text(answers[n++], { pieces: 2, every: 14 });
    reply.end();
  };
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
await picture('page-light.png', { locale: 'zh-TW', viewport: desktop }, ['幫我潤飾一封請假信', null, '臺南三天兩夜怎麼玩？', null, '請用表格比較臺北和高雄'], ['好的，以下是潤飾後的版本。', '第一天可以先逛孔廟和神農街。', TABLE]);
await picture('page-dark.png', { locale: 'en-US', colorScheme: 'dark', viewport: desktop }, ['What is a rotary embedding?', null, 'Explain softmax and write it in C'], ['It rotates pairs of channels by an angle that grows with the position.', ENGLISH]);
await picture('page-phone.png', { locale: 'zh-TW', viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true }, ['臺南有什麼好吃的？'], [PHONE]);
await browser.close();
