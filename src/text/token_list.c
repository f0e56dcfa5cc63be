#include <stdlib.h>

#include "base/checked.h"
#include "text/tokenizer.h"

void token_list_deinit(struct token_list *list)
{
    if (!list) return;
    free(list->ids);
    *list = (struct token_list){0};
}

status token_list_append(struct token_list *list, token_id id)
{
    if (list->count == list->capacity) {
        size_t bytes, capacity = list->capacity ? list->capacity * 2 : 32;
        if (!checked_mul_size(capacity, sizeof *list->ids, &bytes)) return STATUS_NO_MEMORY;
        token_id *ids = realloc(list->ids, bytes);
        if (!ids) return STATUS_NO_MEMORY;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return STATUS_OK;
}
