/* ebnf: grammars as people write them (grammar_compile_ebnf). Private to src/grammar but for this text.
 *
 * Rules with `::=` are read as GBNF and the EBNF of xgrammar: "literal" and 'literal' with escapes, [classes] of
 * characters, `.` (any character), groups, alternatives, * + ? {m} {m,} {m,n}, # comments, <token> and <[id]> for
 * tokens (special ones too), /regex/. The start is `root`.
 * Rules with `:` are read as Lark: the same without classes ([x] is optional x), "literal"i, "a".."z", /regex/flags,
 * x ~ n and x ~ n..m, aliases ->, ?rule and !rule, priorities, %ignore, %import of common terminals. The start is `start`.
 * Terminals of Lark are not a separate lexer here: an answer may read them in any way that fits, so a name may look like
 * a keyword. Text under %ignore may stand before each terminal of a rule and at the end.
 *
 * A rule ends where the next one begins. Recursion of every kind is allowed, left recursion too. Refused, with line and
 * column: !<token>, look-ahead (= ...), %declare, %override, %extend, templates, unknown names.
 */
#ifndef GRAMMAR_EBNF_H
#define GRAMMAR_EBNF_H

#include "grammar/grammar_parts.h"

status ebnf_compile(struct grammar *, struct str source, struct str start,
                    const struct grammar_options *, production *out, struct error *err);

#endif
