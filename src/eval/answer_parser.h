/* answer_parser: which choice a free answer names, as the published tools read it. Their oddities are kept: a
 * score is only comparable when the reading is the same. */
#ifndef EVAL_ANSWER_PARSER_H
#define EVAL_ANSWER_PARSER_H

#include "base/status.h"
#include "base/str.h"

/* Each stores the letter, or '\0' when there is none. STATUS_NO_MEMORY. */

/* ievals: the first character if it is A to D; else the first of 53 patterns that occurs, its last place. */
status answer_parse_ievals(struct str response, char *letter);
/* MiuLab's TMLU, without and with a chain of thought. */
status answer_parse_miulab(struct str response, char *letter);
status answer_parse_miulab_cot(struct str response, char *letter);
/* TCEval: "[[B]]" or "B. " at the beginning, in either case; the letter is in upper case. */
status answer_parse_tceval(struct str response, char *letter);

/* Without the white space at both ends (Python's str.strip). */
struct str answer_strip(struct str);

#endif
