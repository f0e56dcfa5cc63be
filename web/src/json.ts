// JSON with line breaks and indentation. Only white space changes: numbers keep all their digits and a key that
// appears twice still does, so what is read is what the model wrote. Null when the text is no JSON object or list (yet).
export function prettyJson(source: string): string | null {
  const first = source.trimStart()[0];
  if (first !== '{' && first !== '[') return null;
  try {
    JSON.parse(source);
  } catch {
    return null;
  }
  let out = '';
  let depth = 0;
  const newLine = () => '\n' + '  '.repeat(depth);
  const piece = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
  let last = '';
  for (const [token] of source.matchAll(piece)) {
    if (token === '}' || token === ']') {
      depth--;
      if (last !== '{' && last !== '[') out += newLine();
    } else if (last === '{' || last === '[' || last === ',') {
      out += newLine();
    }
    out += token === ':' ? ': ' : token;
    if (token === '{' || token === '[') depth++;
    last = token;
  }
  return out;
}

export function looksLikeJson(source: string): boolean {
  return /^\s*(?:\{\s*(?:"|\}|$)|\[\s*(?:[{["\]\d-]|true|false|null|$))/.test(source);
}
