/* parse -> write -> parse gives an equal tree; accessors never read out of bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) abort();
}

static void compare(const struct json *a, const struct json *b, int depth)
{
    check(a->type == b->type && a->n_items == b->n_items && str_equal(a->text, b->text) &&
          str_equal(a->key, b->key));
    check(depth < 200);
    if (a->type != JSON_ARRAY && a->type != JSON_OBJECT) {
        double x, y;
        int64_t i;
        uint64_t u;
        if (json_f64(a, &x)) check(json_f64(b, &y) && !memcmp(&x, &y, sizeof x));
        if (json_i64(a, &i) && i >= 0) check(json_u64(a, &u) && u == (uint64_t)i);
        return;
    }
    for (uint32_t i = 0; i < a->n_items; i++) compare(&a->items[i], &b->items[i], depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct json_options options = {
        .last_key_wins = data[0] & 1, .non_finite_numbers = data[0] & 2, .max_values = 1 << 16};
    struct json_style style = {STR(", "), STR(": "), (data[0] & 4) ? 1 : -1, data[0] & 8};
    char *text = malloc(size); /* the exact size: one byte too far is seen */
    if (!text) return 0;
    memcpy(text, data + 1, size - 1);
    struct arena arena = {0};
    struct error err;
    struct json *tree, *again;
    if (json_parse(&arena, (struct str){text, size - 1}, &options, "fuzz", &tree, &err) ==
        STATUS_OK) {
        struct strbuf out = {0};
        check(json_write(&out, tree, &style) == STATUS_OK);
        check(json_parse(&arena, strbuf_view(&out), &options, "again", &again, &err) == STATUS_OK);
        compare(tree, again, 0);
        strbuf_deinit(&out);
    }
    arena_deinit(&arena);
    free(text);
    return 0;
}
