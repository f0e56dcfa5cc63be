#include "serve/http_keys.h"

#include <limits.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/siphash.h"
#include "base/system_memory.h"
#include "serve/http_syntax.h"

struct http_keys {
    struct siphash_key secret;
    size_t n;
    struct siphash_digest digests[];
};

status http_keys_create(struct http_keys **out, const char *const *keys, size_t n,
                        struct error *err)
{
    *out = NULL;
    if (n > INT_MAX / sizeof(struct siphash_digest))
        return error_set(err, STATUS_LIMIT, "%zu API keys are too many", n);
    struct http_keys *set = calloc(1, sizeof *set + n * sizeof *set->digests);
    if (!set) return error_set(err, STATUS_NO_MEMORY, "API keys: out of memory");
    status result = system_random_bytes(&set->secret, sizeof set->secret, err);
    for (size_t i = 0; i < n && result == STATUS_OK; i++) {
        struct str key = str_of(keys[i]);
        if (key.size == 0)
            result = error_set(err, STATUS_INVALID, "API key %zu is empty", i + 1);
        else if (!http_is_field_value(key) || http_trim(key).size != key.size)
            result = error_set(
                err, STATUS_INVALID,
                "API key %zu has blanks around it or a character that no header can carry", i + 1);
        set->digests[set->n++] = siphash_128(set->secret, key.data, key.size);
    }
    if (result != STATUS_OK)
        http_keys_destroy(set);
    else
        *out = set;
    return result;
}

void http_keys_destroy(struct http_keys *set) { free(set); }

size_t http_keys_count(const struct http_keys *set) { return set ? set->n : 0; }

int http_keys_find(const struct http_keys *set, struct str shown)
{
    struct siphash_digest digest =
        siphash_128(set->secret, shown.data ? shown.data : "", shown.size);
    int found = -1;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t differs = (digest.words[0] ^ set->digests[i].words[0]) |
                           (digest.words[1] ^ set->digests[i].words[1]);
        int equal = (int)((((differs | (0 - differs)) >> 63) ^ 1) &
                          1); /* 1 when differs is 0, without a branch */
        found = (found & (equal - 1)) | ((int)i & -equal);
    }
    return found;
}

struct str http_bearer_token(struct str authorization)
{
    struct str scheme = str_slice(authorization, 0, 7);
    if (!http_equal_ignoring_case(scheme, "bearer ")) return (struct str){"", 0};
    return http_trim(str_slice(authorization, 7, authorization.size));
}
