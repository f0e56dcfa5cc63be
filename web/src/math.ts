// Formulas in Markdown: $…$, \(…\), $$…$$, \[…\] and ```math, set by KaTeX as MathML, which needs neither fonts nor
// inline styles.

import katex from 'katex';
import type { MarkdownIt } from 'markdown-it';

// Both a formula and what it was written as are escaped by KaTeX; a style of its own would only offend the policy.
export function renderMath(source: string, display: boolean): string | null {
  try {
    const html = katex.renderToString(source, {
      output: 'mathml',
      displayMode: display,
      throwOnError: true,
      strict: 'ignore',
      trust: false,
      maxSize: 20,
      maxExpand: 500,
    });
    return html.replace(/ style="[^"]*"/g, '');
  } catch {
    return null; // not a formula after all, or half of one
  }
}

const SPACE = /\s/;
const DIGIT = /[0-9]/;

// Where the closing `end` of text beginning at `from` stands; a backslash hides the character behind it.
function findEnd(source: string, from: number, most: number, end: string): number {
  for (let at = from; at + end.length <= most; at++) {
    if (source.startsWith(end, at)) return at;
    if (source[at] === '\\') at++;
  }
  return -1;
}

export function mathPlugin(md: MarkdownIt): void {
  md.inline.ruler.before('escape', 'math', (state, silent) => {
    const { src, pos, posMax } = state;
    const pairs: [string, string][] = [['$$', '$$'], ['$', '$'], ['\\(', '\\)'], ['\\[', '\\]']];
    const pair = pairs.find(([begin]) => src.startsWith(begin, pos));
    if (!pair) return false;
    const [begin, end] = pair;
    const from = pos + begin.length;
    const at = findEnd(src, from, posMax, end);
    const content = src.slice(from, at);
    if (at < 0 || content.trim() === '') return false;
    // Prices are no formulas: a dollar sign hugs its formula, and no digit follows.
    if (begin === '$' && (SPACE.test(content[0]!) || SPACE.test(content[content.length - 1]!))) return false;
    if (begin === '$' && DIGIT.test(src[at + 1] ?? '')) return false;
    if (!silent) {
      const token = state.push('math_inline', 'math', 0);
      token.content = content;
      token.markup = begin;
    }
    state.pos = at + end.length;
    return true;
  });

  md.block.ruler.before(
    'fence',
    'math_block',
    (state, startLine, endLine, silent) => {
      const lineText = (line: number) =>
        state.src.slice(state.bMarks[line]! + state.tShift[line]!, state.eMarks[line]!).trim();
      const first = lineText(startLine);
      const begin = first.startsWith('$$') ? '$$' : first.startsWith('\\[') ? '\\[' : '';
      if (begin === '' || state.sCount[startLine]! - state.blkIndent >= 4) return false;
      const end = begin === '$$' ? '$$' : '\\]';
      const lines: string[] = [];
      let line = startLine;
      for (let text = first.slice(2); ; text = lineText(line)) {
        if (text.endsWith(end) && !(line === startLine && text.length < end.length)) {
          lines.push(text.slice(0, -end.length));
          break;
        }
        if (text.includes(end)) return false; // text follows: an inline formula
        lines.push(text);
        line++;
        if (line >= endLine || state.sCount[line]! < state.blkIndent) return false;
      }
      const content = lines.join('\n').trim();
      if (content === '') return false;
      if (silent) return true;
      const token = state.push('math_block', 'math', 0);
      token.block = true;
      token.content = content;
      token.markup = begin;
      token.map = [startLine, line + 1];
      state.line = line + 1;
      return true;
    },
    { alt: ['paragraph', 'reference', 'blockquote', 'list'] },
  );

  const { escapeHtml } = md.utils;
  md.renderer.rules.math_inline = (tokens, index) => {
    const { content, markup } = tokens[index]!;
    const display = markup === '$$' || markup === '\\[';
    const math = renderMath(content, display);
    return math ?? `<code>${escapeHtml(content)}</code>`;
  };
  md.renderer.rules.math_block = (tokens, index) => {
    const { content } = tokens[index]!;
    const math = renderMath(content, true);
    return math ? `<p class="math-block">${math}</p>` : `<pre><code class="language-tex">${escapeHtml(content)}</code></pre>`;
  };
}
