/* inspect_report: what twllm inspect found, as text for people and as JSON. */
#ifndef CMD_INSPECT_REPORT_H
#define CMD_INSPECT_REPORT_H

#include "cmd/session.h"

struct inspect_report {
    const struct session *session; /* with an open model */
    struct twllm_memory_plan plan;
    bool with_tensors, verified;
    int64_t n_verified; /* values looked at */
};

status inspect_report_text(const struct inspect_report *, struct strbuf *out);
status inspect_report_json(const struct inspect_report *, struct strbuf *out);

#endif
