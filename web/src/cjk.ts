// Emphasis beside Chinese. CommonMark takes 「**重點：**其餘」 for literal asterisks, because a mark between punctuation
// and a letter has to have white space on the other side, which Chinese does not write. Here an East Asian character
// counts as such a side.

import type { MarkdownIt } from 'markdown-it';

const WIDE = /[\u1100-\u11ff\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\u{1b000}-\u{1b16f}\u{20000}-\u{3fffd}]/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const SPACE = /\s/;

function before(source: string, at: number): string {
  if (at === 0) return ' ';
  const last = source.charCodeAt(at - 1);
  return last >= 0xdc00 && last <= 0xdfff && at > 1 ? source.slice(at - 2, at) : source[at - 1]!;
}
function after(source: string, at: number, most: number): string {
  return at < most ? String.fromCodePoint(source.codePointAt(at)!) : ' ';
}

export function cjkPlugin(md: MarkdownIt): void {
  const Original = md.inline.State;
  class CjkState extends Original {
    override scanDelims(start: number, canSplitWord: boolean) {
      const plain = super.scanDelims(start, canSplitWord);
      const left = before(this.src, start);
      const right = after(this.src, start + plain.length, this.posMax);
      if (!canSplitWord || (!WIDE.test(left) && !WIDE.test(right))) return plain;
      const leftOpens = WIDE.test(left) || SPACE.test(left) || PUNCTUATION.test(left);
      const rightCloses = WIDE.test(right) || SPACE.test(right) || PUNCTUATION.test(right);
      return {
        can_open: !SPACE.test(right) && (!PUNCTUATION.test(right) || leftOpens),
        can_close: !SPACE.test(left) && (!PUNCTUATION.test(left) || rightCloses),
        length: plain.length,
      };
    }
  }
  md.inline.State = CjkState;
}
