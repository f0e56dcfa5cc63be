// Markdown to safe elements, block by block. Text of a model is hostile: HTML in it is shown as text, and what the
// renderer makes is sanitised all the same before it touches the page.

import createDOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { cjkPlugin } from './cjk';
import { highlight } from './highlight';
import { mathPlugin, renderMath } from './math';

const md = new MarkdownIt({ html: false, linkify: true, breaks: true, highlight: (code, info) => highlight(code, info) ?? '' });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
md.use(cjkPlugin).use(mathPlugin);

// No image is ever fetched: it could tell another host what is being read. What is left is a link to it.
md.renderer.rules.image = (tokens, index) => {
  const token = tokens[index]!;
  const text = token.content || String(token.attrGet('src') ?? '');
  const address = md.utils.escapeHtml(String(token.attrGet('src') ?? ''));
  return `<a class="image-link" href="${address}">${md.utils.escapeHtml(text)}</a>`;
};
// Alignment as an attribute: a style would offend the policy of the page.
md.core.ruler.push('table_align', (state) => {
  for (const token of state.tokens) {
    if (token.type !== 'th_open' && token.type !== 'td_open') continue;
    const side = /^text-align:(left|center|right)$/.exec(String(token.attrGet('style') ?? ''))?.[1];
    token.attrs = side === undefined ? null : [['align', side]];
  }
});
const fence = md.renderer.rules.fence!;
md.renderer.rules.fence = (tokens, index, options, env, self) => {
  const token = tokens[index]!;
  const math = token.info.trim() === 'math' ? renderMath(token.content, true) : null;
  return math ? `<p class="math-block">${math}</p>` : fence(tokens, index, options, env, self);
};

const TAGS = [
  ...['a', 'blockquote', 'br', 'code', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's'],
  ...['span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul'],
  ...['math', 'menclose', 'merror', 'mfrac', 'mi', 'mmultiscripts', 'mn', 'mo', 'mover', 'mpadded', 'mphantom'],
  ...['mroot', 'mrow', 'ms', 'mspace', 'msqrt', 'mstyle', 'msub', 'msubsup', 'msup', 'mtable', 'mtd', 'mtext', 'mtr'],
  ...['munder', 'munderover'],
];
const ATTRIBUTES = [
  ...['class', 'href', 'title', 'start', 'align'],
  ...['accent', 'accentunder', 'columnalign', 'columnlines', 'columnspacing', 'depth', 'display', 'displaystyle'],
  ...['fence', 'form', 'height', 'largeop', 'linethickness', 'lspace', 'mathbackground', 'mathcolor', 'mathvariant'],
  ...['maxsize', 'minsize', 'movablelimits', 'notation', 'rowlines', 'rowspacing', 'rspace', 'scriptlevel'],
  ...['separator', 'stretchy', 'symmetric', 'voffset', 'width'],
];

const purify = createDOMPurify(window);
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer nofollow');
});

function sanitise(html: string): DocumentFragment {
  return purify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== 'href'),
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i, // absolute only: no link of a model leads into this server
    FORBID_CONTENTS: ['annotation', 'annotation-xml', 'script', 'style', 'template', 'iframe', 'noscript'],
    RETURN_DOM_FRAGMENT: true,
  });
}

interface Block {
  key: string;
  nodes: ChildNode[];
}

export interface CodeLabels {
  copy: string;
  copied: string;
}

// Shows one growing text in one element. Blocks that did not change since the last call stay as they are, so a long
// answer costs what its last block costs, and a selection in the blocks above survives.
export class MarkdownView {
  private blocks: Block[] = [];

  constructor(
    private root: HTMLElement,
    private decorate: (pre: HTMLElement, language: string) => void,
  ) {}

  update(source: string): void {
    const env: { references?: Record<string, unknown> } = {};
    const tokens = md.parse(source, env as never);
    const lines = source.split('\n');
    const references = env.references ? JSON.stringify(env.references) : '';
    let kept = 0;
    let index = 0;
    const fresh: Block[] = [];
    for (let from = 0; from < tokens.length; ) {
      let to = from;
      for (let depth = 0; to < tokens.length; to++) {
        depth += tokens[to]!.nesting;
        if (depth === 0) break;
      }
      to++;
      const map = tokens[from]!.map;
      const key = tokens[from]!.type + '\n' + references + '\n' + (map ? lines.slice(map[0], map[1]).join('\n') : from);
      if (index === kept && this.blocks[kept]?.key === key) {
        kept++;
      } else {
        const fragment = sanitise(md.renderer.render(tokens.slice(from, to), md.options, env as never));
        this.finish(fragment);
        fresh.push({ key, nodes: [...fragment.childNodes] });
      }
      index++;
      from = to;
    }
    for (const block of this.blocks.splice(kept)) for (const node of block.nodes) node.remove();
    for (const block of fresh) {
      this.root.append(...block.nodes);
      this.blocks.push(block);
    }
  }

  private finish(fragment: DocumentFragment): void {
    for (const code of fragment.querySelectorAll<HTMLElement>('pre > code')) {
      const language = [...code.classList].find((name) => name.startsWith('language-'))?.slice(9) ?? '';
      this.decorate(code.parentElement!, language);
    }
    for (const table of fragment.querySelectorAll('table')) {
      const frame = document.createElement('div');
      frame.className = 'table-frame';
      frame.tabIndex = 0; // a wide table can be scrolled by keyboard
      table.replaceWith(frame);
      frame.append(table);
    }
  }
}

// One piece of code as elements, for JSON and the arguments of tool calls.
export function codeFragment(source: string, language: string): DocumentFragment {
  const html = highlight(source, language) ?? md.utils.escapeHtml(source);
  return sanitise(html);
}
