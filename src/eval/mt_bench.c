#include "eval/mt_bench.h"

#include <math.h>
#include <stdlib.h>

const char *const mt_bench_categories[MT_BENCH_CATEGORIES] = {
    "writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"};

int mt_bench_category(int64_t id) { return id >= 81 && id <= 160 ? (int)(id - 81) / 10 : -1; }

double mt_bench_temperature(struct str category)
{
    static const double temperatures[MT_BENCH_CATEGORIES] = {0.7, 0.7, 0, 0, 0, 0, 0.1, 0.1};
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++)
        if (str_equal_c(category, mt_bench_categories[i])) return temperatures[i];
    return 0.7;
}

/* ---- ratings ------------------------------------------------------------------------------------ */

/* The value of `open` digits [. digits] `close` at s[at], or -1. Digits are those of any script in the tools'
 * expressions; judges write ASCII. */
static double rating_at(struct str s, size_t at, const char *open, const char *close)
{
    size_t begin = at + strlen(open), end = begin;
    if (!str_starts_with(str_slice(s, at, s.size), str_of(open))) return -1;
    while (end < s.size && s.data[end] >= '0' && s.data[end] <= '9') end++;
    if (end == begin) return -1;
    if (end < s.size && s.data[end] == '.') end++;
    while (end < s.size && s.data[end] >= '0' && s.data[end] <= '9') end++;
    char text[64];
    bool closed = str_starts_with(str_slice(s, end, s.size), str_of(close));
    if (!closed || end - begin >= sizeof text) return -1;
    memcpy(text, s.data + begin, end - begin);
    text[end - begin] = '\0';
    return strtod(text, NULL);
}

double mt_bench_rating(struct str judgment)
{
    static const char *const brackets[2][2] = {{"[[", "]]"}, {"[", "]"}};
    for (int form = 0; form < 2; form++) {
        for (size_t at = 0; at < judgment.size; at++) {
            double value = rating_at(judgment, at, brackets[form][0], brackets[form][1]);
            if (value >= 0) return value;
        }
    }
    return -1;
}

/* ---- statistics --------------------------------------------------------------------------------- */

static int compare_scores(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

struct mt_bench_statistics mt_bench_statistics(const struct mt_bench_score *scores, size_t count,
                                               int category, int turn, bool unparsable)
{
    struct mt_bench_statistics s = {.mean = (double)NAN,
                                    .maximum = (double)NAN,
                                    .minimum = (double)NAN,
                                    .median = (double)NAN,
                                    .deviation = (double)NAN};
    double *values = malloc((count + 1) * sizeof *values), sum = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; values && i < count; i++) {
        bool wanted = (category < 0 || mt_bench_category(scores[i].question_id) == category) &&
                      (turn == 0 || scores[i].turn == turn) && (unparsable || scores[i].score >= 0);
        if (wanted) values[n++] = scores[i].score;
    }
    s.n = (int64_t)n;
    if (n > 0) {
        qsort(values, n, sizeof *values, compare_scores);
        /* Ratings have few bits: these sums are exact, and so is the last digit that is printed. */
        for (size_t i = 0; i < n; i++) sum += values[i];
        for (size_t i = 0; i < n; i++) squares += values[i] * values[i];
        s.mean = sum / (double)n;
        double spread = (double)n * squares - sum * sum;
        s.deviation = sqrt((spread > 0 ? spread : 0) / ((double)n * (double)n));
        s.minimum = values[0];
        s.maximum = values[n - 1];
        s.median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    }
    free(values);
    return s;
}

/* ---- judgments ---------------------------------------------------------------------------------- */

void mt_bench_judgments_deinit(struct mt_bench_judgments *j)
{
    for (size_t i = 0; i < j->n_models; i++) free(j->models[i].scores);
    free(j->models);
    arena_deinit(&j->arena);
    *j = (struct mt_bench_judgments){0};
}

static struct mt_bench_run *run_of(struct mt_bench_judgments *j, struct str model)
{
    for (size_t i = 0; i < j->n_models; i++)
        if (str_equal(j->models[i].model, model)) return &j->models[i];
    struct mt_bench_run *models = realloc(j->models, (j->n_models + 1) * sizeof *models);
    if (!models) return NULL;
    j->models = models;
    models[j->n_models] = (struct mt_bench_run){.model = arena_copy_str(&j->arena, model)};
    return models[j->n_models].model.data ? &models[j->n_models++] : NULL;
}

static bool add_score(struct mt_bench_run *run, struct mt_bench_score score)
{
    for (size_t i = 0; i < run->count; i++) {
        if (run->scores[i].question_id != score.question_id || run->scores[i].turn != score.turn)
            continue;
        run->scores[i] = score;
        return true;
    }
    if (run->count == run->capacity) {
        size_t capacity = run->capacity ? 2 * run->capacity : 160;
        struct mt_bench_score *scores = realloc(run->scores, capacity * sizeof *scores);
        if (!scores) return false;
        run->scores = scores;
        run->capacity = capacity;
    }
    run->scores[run->count++] = score;
    return true;
}

static status read_line(struct mt_bench_judgments *j, const struct json *line, const char *source,
                        size_t number, struct error *err)
{
    struct mt_bench_score score = {0};
    struct str model, judgment, prompt = {0};
    int64_t turn;
    double stored;
    if (!json_i64(json_get(line, "question_id"), &score.question_id) ||
        !json_i64(json_get(line, "turn"), &turn) || turn < 1 || turn > MT_BENCH_TURNS ||
        !json_str(json_get(line, "model"), &model) ||
        !json_str(json_get(line, "judgment"), &judgment) ||
        !json_f64(json_get(line, "score"), &stored))
        return error_set(
            err, STATUS_FORMAT,
            "%s, line %zu: expected question_id, model, judgment, score and turn (1 or 2)", source,
            number);
    json_str(json_at(json_get(line, "judge"), 1), &prompt);
    score.turn = (int)turn;
    score.score = mt_bench_rating(judgment);
    score.with_reference = prompt.data && str_find(prompt, STR("math")) >= 0;
    if (score.score != stored) j->n_differing++;
    struct mt_bench_run *run = run_of(j, model);
    if (run && run->count >= MT_BENCH_MAX_JUDGMENTS)
        return error_set(err, STATUS_LIMIT, "%s: too many judgments", source);
    return run && add_score(run, score) ? STATUS_OK
                                        : error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
}

status mt_bench_read(struct mt_bench_judgments *j, struct str text, const char *source,
                     struct error *err)
{
    *j = (struct mt_bench_judgments){0};
    size_t number = 0;
    for (size_t at = 0; at < text.size;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t stop = end ? (size_t)(end - text.data) : text.size;
        struct str row = str_slice(text, at, stop);
        struct arena arena = {0};
        struct json *line;
        at = stop + 1;
        number++;
        if (row.size == 0) continue;
        status result = json_parse(&arena, row, NULL, "the judgment", &line, err);
        if (result != STATUS_OK)
            error_prefix(err, result, "%s, line %zu", source, number);
        else
            result = read_line(j, line, source, number, err);
        arena_deinit(&arena);
        TRY(result);
    }
    return j->n_models ? STATUS_OK : error_set(err, STATUS_FORMAT, "%s: no judgments", source);
}

/* ---- the radar chart ---------------------------------------------------------------------------- */

static const char *const colours[] = {"#0b7285", "#c92a2a", "#5f3dc4",
                                      "#2b8a3e", "#e67700", "#364fc7"};

static void corner(int i, double radius, double *x, double *y)
{
    double angle = 2 * M_PI * i / MT_BENCH_CATEGORIES - M_PI / 2;
    *x = 320 + radius * cos(angle);
    *y = 300 + radius * sin(angle);
}

static status ring(struct strbuf *out, double radius)
{
    double x, y;
    TRY(strbuf_append_c(out, "<polygon fill=\"none\" stroke=\"#ccc\" points=\""));
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++) {
        corner(i, radius, &x, &y);
        TRY(strbuf_appendf(out, "%s%.1f,%.1f", i ? " " : "", x, y));
    }
    return strbuf_append_c(out, "\"/>\n");
}

static status append_escaped(struct strbuf *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '<')
            TRY(strbuf_append_c(out, "&lt;"));
        else if (c == '&')
            TRY(strbuf_append_c(out, "&amp;"));
        else
            TRY(strbuf_append_char(out, c));
    }
    return STATUS_OK;
}

static status polygon(struct strbuf *out, const struct mt_bench_run *run, size_t number)
{
    const char *colour = colours[number % (sizeof colours / sizeof *colours)];
    double x, y;
    TRY(strbuf_appendf(out,
                       "<polygon fill=\"%s\" fill-opacity=\"0.12\" stroke=\"%s\" "
                       "stroke-width=\"2\" points=\"",
                       colour, colour));
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++) {
        struct mt_bench_statistics s = mt_bench_statistics(run->scores, run->count, i, 0, true);
        corner(i, 22 * (s.n && s.mean > 0 ? s.mean : 0), &x, &y);
        TRY(strbuf_appendf(out, "%s%.1f,%.1f", i ? " " : "", x, y));
    }
    struct mt_bench_statistics all = mt_bench_statistics(run->scores, run->count, -1, 0, true);
    TRY(strbuf_appendf(out, "\"/>\n<text x=\"20\" y=\"%zu\" fill=\"%s\">", 590 + 20 * number,
                       colour));
    TRY(append_escaped(out, run->model));
    return strbuf_appendf(out, " %.2f</text>\n", all.mean);
}

status mt_bench_radar(const struct mt_bench_judgments *j, bool taiwan, struct strbuf *out)
{
    static const char *const names[MT_BENCH_CATEGORIES] = {"寫作", "角色扮演", "推理", "數學",
                                                           "程式", "擷取",     "理工", "人文"};
    double x, y;
    TRY(strbuf_appendf(out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 %zu\" "
                       "font-family=\"'Noto Sans TC','PingFang TC',sans-serif\" font-size=\"15\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                       "<text x=\"320\" y=\"30\" text-anchor=\"middle\" font-size=\"18\">TW "
                       "MT-Bench</text>\n",
                       600 + 20 * j->n_models));
    for (int i = 1; i <= 5; i++) TRY(ring(out, 44 * i));
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++) {
        corner(i, 245, &x, &y);
        TRY(strbuf_appendf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x,
                           y + 5, taiwan ? names[i] : mt_bench_categories[i]));
    }
    for (size_t i = 0; i < j->n_models; i++) TRY(polygon(out, &j->models[i], i));
    return strbuf_append_c(out, "</svg>\n");
}
