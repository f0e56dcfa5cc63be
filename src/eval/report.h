/* report: what a run found, as lm-evaluation-harness's results.json and as a table in the model card's layout. */
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H

#include "eval/metrics.h"

/* Everything needed to repeat the run. Texts are borrowed. */
struct eval_run_info {
    const char *model, *dtype, *isa, *version, *commit, *command, *date, *weights_fingerprint;
    const char *template_sha256; /* of the chat template applied; NULL: none */
    const char *data;            /* the user's folder; NULL: the cache */
    const char *url;             /* of a remote model; NULL: it ran here */
    bool bf16_logits, add_bos;
    int32_t threads, max_model_len;
    int64_t limit; /* questions per subset, 0: all */
    double seconds;
};

struct eval_result {
    const struct eval_task *task;
    const struct eval_tally *tallies; /* per subset */
    int shots;
};

status eval_write_results(const struct eval_run_info *, const struct eval_result *, size_t count,
                          struct strbuf *out);

/* A single figure of a run that is no task, in the same shape: TW MT-Bench's mean, the needle's share. */
struct eval_measure {
    const char *task, *metric, *model, *date, *commit;
    double value, standard_error; /* NaN where it cannot be had */
    int64_t n;
};
status eval_write_measure(const struct eval_measure *, struct strbuf *out);

/* One line of the table: texts are Markdown, NULL stands for "-". */
enum { EVAL_CARD_COLUMNS = 7 };
struct eval_card_row {
    const char *model, *cells[EVAL_CARD_COLUMNS];
};
/* The rows of the published model card, in its order; false behind the last. */
bool eval_published_row(size_t index, struct eval_card_row *);
/* Which column a task fills: -1 for none. */
int eval_card_column(struct str task_name);
/* The task of a column, and its title. */
const char *eval_card_task(int column);
const char *eval_card_title(int column, bool taiwan);

enum eval_table { EVAL_TABLE_MARKDOWN, EVAL_TABLE_HTML };
/* Rows of this program's runs first (marked as such, with 95 % intervals in the cells they bring), then the
 * published ones, marked as published. */
status eval_write_table(enum eval_table, const struct eval_card_row *own, size_t n_own,
                        struct strbuf *out);
/* "61.11% ± 8.51" of a score: value and half of the 95 % interval, in per cent. */
void eval_format_score(const struct eval_score *, char out[64]);

#endif
