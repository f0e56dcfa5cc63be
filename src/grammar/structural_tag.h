/* structural_tag: free text with parts that must follow a grammar (grammar_compile_structural_tag).
 *
 * Two forms are read:
 *   {"structures": [{"begin", "schema", "end"}, ...], "triggers": ["...", ...]}              (vLLM)
 *   {"type": "structural_tag", "format": FORMAT}                                              (xgrammar)
 * FORMAT by "type":
 *   const_string {value} · json_schema {json_schema} · regex {pattern} · grammar {grammar} · any_text {excludes} ·
 *   sequence {elements} · or {elements} · optional, star, plus {content} · repeat {content, min, max} ·
 *   tag {begin, content, end: text or list} · token {token: text or id} ·
 *   triggered_tags {triggers, tags, at_least_one, stop_after_first, excludes} ·
 *   tags_with_separator {tags, separator, at_least_one, stop_after_first}
 * Other types are refused, naming them.
 *
 * Text between triggered tags is any UTF-8 that holds no trigger; where a trigger is complete, a tag that begins with it
 * must follow. any_text directly inside a tag holds none of the tag's ends.
 */
#ifndef GRAMMAR_STRUCTURAL_TAG_H
#define GRAMMAR_STRUCTURAL_TAG_H

#include "grammar/json_text.h"

#endif
