#include <stdlib.h>

#include "api/api.h"

/* The public codes are the library's own. */
#define X(name, code, text)                                                                        \
    _Static_assert((int)TWLLM_##name == (int)STATUS_##name, "twllm.h and status.h disagree");
STATUS_LIST(X)
#undef X
_Static_assert(sizeof((struct twllm_error *)0)->text == sizeof((struct error *)0)->text,
               "messages are copied whole");

int api_error(status code, const struct error *err, struct twllm_error *out)
{
    if (!out) return (int)code;
    out->status = (int)code;
    out->text[0] = '\0';
    if (code == STATUS_OK) return 0;
    const char *text = err->text[0] ? err->text : status_text(code);
    memcpy(out->text, text, strlen(text) + 1);
    return (int)code;
}

const char *twllm_version(void) { return TWLLM_VERSION; }

const char *twllm_status_text(int code) { return status_text((status)code); }

void twllm_free(void *pointer) { free(pointer); }
