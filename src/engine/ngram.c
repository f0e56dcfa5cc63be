#include "engine/ngram.h"

int32_t ngram_guess(token_id *tokens, int32_t n, int32_t least, int32_t most_match, int32_t count)
{
    token_id last = n > 0 ? tokens[n - 1] : TOKEN_NONE;
    int32_t best = least - 1, behind = -1; /* the length of the match, and what followed it */
    for (int32_t end = n - 2; end >= 0 && best < most_match; end--) {
        if (tokens[end] != last) continue;
        int32_t length = 1;
        while (length < most_match && length <= end &&
               tokens[end - length] == tokens[n - 1 - length])
            length++;
        if (length <= best) continue;
        best = length;
        behind = end + 1;
    }
    if (behind < 0) return 0;
    for (int32_t i = 0; i < count; i++) tokens[n + i] = tokens[behind + i];
    return count;
}
