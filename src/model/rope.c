/* transformers computes frequencies in float32 (torch) and the parameters around them in double
 * (Python); the order and width of every operation here follow that, since at position p an error of one
 * unit in a frequency's last place turns the angle by p times as much. */
#include "model/rope.h"

#include <math.h>

static const char *const kind_names[] = {
    [ROPE_DEFAULT] = "default", [ROPE_LINEAR] = "linear",     [ROPE_DYNAMIC] = "dynamic",
    [ROPE_YARN] = "yarn",       [ROPE_LONGROPE] = "longrope", [ROPE_LLAMA3] = "llama3",
};
enum { N_KINDS = sizeof kind_names / sizeof *kind_names };

const char *rope_kind_name(enum rope_kind kind)
{
    return (unsigned)kind < N_KINDS ? kind_names[kind] : "unknown";
}

bool rope_depends_on_length(const struct rope_config *rope)
{
    return rope->kind == ROPE_DYNAMIC || rope->kind == ROPE_LONGROPE;
}

/* ---- frequencies ---- */

/* base^(2j/HD) as torch.pow gives it for float32 tensors. */
static float pair_power(double base, int32_t j, int32_t n_pairs)
{
    float exponent = (float)(2 * j) / (float)(2 * n_pairs);
    return (float)pow((double)(float)base, (double)exponent);
}

static void fill_default(struct rope_config *rope)
{
    for (int32_t j = 0; j < rope->n_pairs; j++)
        rope->inverse_frequencies[j] = 1.0f / pair_power(rope->theta, j, rope->n_pairs);
}

static void fill_linear(struct rope_config *rope)
{
    fill_default(rope);
    for (int32_t j = 0; j < rope->n_pairs; j++) rope->inverse_frequencies[j] /= (float)rope->factor;
}

static void fill_llama3(struct rope_config *rope)
{
    fill_default(rope);
    float original = (float)rope->original_max_position_embeddings;
    float low_wavelength =
        (float)((double)rope->original_max_position_embeddings / rope->low_freq_factor);
    float high_wavelength =
        (float)((double)rope->original_max_position_embeddings / rope->high_freq_factor);
    float factor = (float)rope->factor;
    for (int32_t j = 0; j < rope->n_pairs; j++) {
        float f = rope->inverse_frequencies[j];
        float wavelength = (1.0f / f) * (float)(2 * M_PI);
        if (wavelength > low_wavelength) {
            rope->inverse_frequencies[j] = f / factor;
        } else if (!(wavelength < high_wavelength)) {
            float smooth = ((1.0f / wavelength) * original - (float)rope->low_freq_factor) /
                           (float)(rope->high_freq_factor - rope->low_freq_factor);
            rope->inverse_frequencies[j] = (1.0f - smooth) * f / factor + smooth * f;
        }
    }
}

/* The pair that turns n_rotations times over the original length (YaRN, section 3.2). */
static double yarn_pair_of(const struct rope_config *rope, double n_rotations)
{
    double length = (double)rope->original_max_position_embeddings;
    return (2.0 * rope->n_pairs * log(length / (n_rotations * 2 * M_PI))) / (2 * log(rope->theta));
}

static void fill_yarn(struct rope_config *rope, bool truncate)
{
    double low = yarn_pair_of(rope, rope->beta_fast), high = yarn_pair_of(rope, rope->beta_slow);
    if (truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, 2 * rope->n_pairs - 1);
    if (low == high) high += 0.001;
    for (int32_t j = 0; j < rope->n_pairs; j++) {
        float power = pair_power(rope->theta, j, rope->n_pairs);
        float extrapolated = 1.0f / power, interpolated = 1.0f / ((float)rope->factor * power);
        float ramp = ((float)j - (float)low) / (float)(high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        float keep = 1.0f - ramp;
        rope->inverse_frequencies[j] = interpolated * (1.0f - keep) + extrapolated * keep;
    }
}

/* Dynamic NTK beyond max_position_embeddings: the base that this length asks for. */
static double dynamic_base(const struct rope_config *rope, int32_t length)
{
    float stretched = (float)rope->factor * (float)length / (float)rope->max_position_embeddings;
    float ratio = stretched - (float)(rope->factor - 1);
    double dim = 2.0 * rope->n_pairs;
    return (double)((float)rope->theta * (float)pow((double)ratio, dim / (dim - 2)));
}

/* ---- reading ---- */

struct reader {
    const struct json *params; /* rope_scaling or rope_parameters, or NULL */
    const struct json *config;
    const char *source;
    struct error *err;
};

static status refuse(const struct reader *r, const char *field, const char *expected)
{
    return error_set(r->err, STATUS_FORMAT, "%s: rope parameter %s: expected %s", r->source, field,
                     expected);
}

static status read_number(const struct reader *r, const char *field, double fallback, double *out)
{
    return json_member_f64(r->params, field, fallback, r->source, out, r->err);
}

/* A finite number above zero; NAN as fallback means that the field is required. */
static status read_positive(const struct reader *r, const char *field, double fallback, double *out)
{
    TRY(read_number(r, field, fallback, out));
    if (isfinite(*out) && *out > 0 && *out <= 1e15) return STATUS_OK;
    return refuse(r, field, "a number above 0");
}

static status read_kind(struct rope_config *rope, const struct reader *r)
{
    struct str old_name, name;
    TRY(json_member_str(r->params, "type", STR("default"), r->source, &old_name, r->err));
    TRY(json_member_str(r->params, "rope_type", old_name, r->source, &name, r->err));
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (str_equal_c(name, kind_names[kind])) {
            rope->kind = (enum rope_kind)kind;
            return STATUS_OK;
        }
    }
    return error_set(r->err, STATUS_UNSUPPORTED,
                     "%s: rope_type \"%.*s\" is not supported; known are default, linear, dynamic, "
                     "yarn, longrope and llama3",
                     r->source, (int)(name.size > 40 ? 40 : name.size), name.data);
}

static status read_original_length(struct rope_config *rope, const struct reader *r)
{
    const char *const field = "original_max_position_embeddings";
    int64_t in_params, fallback = rope->max_position_embeddings;
    TRY(json_member_i64(r->params, field, fallback, 1, INT32_MAX, r->source, &in_params, r->err));
    return json_member_i64(r->config, field, in_params, 1, INT32_MAX, r->source,
                           &rope->original_max_position_embeddings, r->err);
}

static status read_yarn(struct rope_config *rope, const struct reader *r)
{
    double implicit =
        (double)rope->max_position_embeddings / (double)rope->original_max_position_embeddings;
    double mscale, mscale_all;
    bool truncate;
    TRY(read_positive(r, "factor", implicit, &rope->factor));
    TRY(read_number(r, "beta_fast", 32, &rope->beta_fast));
    TRY(read_number(r, "beta_slow", 1, &rope->beta_slow));
    if (rope->beta_fast == 0) rope->beta_fast = 32; /* 0 means unset there */
    if (rope->beta_slow == 0) rope->beta_slow = 1;
    if (!(rope->beta_fast > 0 && rope->beta_slow > 0))
        return refuse(r, "beta_fast and beta_slow", "numbers above 0");
    TRY(read_number(r, "mscale", 0, &mscale));
    TRY(read_number(r, "mscale_all_dim", 0, &mscale_all));
    TRY(json_member_bool(r->params, "truncate", true, r->source, &truncate, r->err));
    double grow = rope->factor > 1 ? 0.1 * log(rope->factor) : 0;
    double factor =
        mscale != 0 && mscale_all != 0 ? (mscale * grow + 1) / (mscale_all * grow + 1) : grow + 1;
    TRY(read_positive(r, "attention_factor", factor, &rope->attention_factor));
    if (rope->theta <= 1) return refuse(r, "rope_theta", "a number above 1");
    fill_yarn(rope, truncate);
    return STATUS_OK;
}

static status read_divisors(struct rope_config *rope, const struct reader *r, const char *field,
                            float *out)
{
    const struct json *list = json_get(r->params, field);
    if (!json_is(list, JSON_ARRAY) || list->n_items != (uint32_t)rope->n_pairs)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: rope parameter %s: expected a list of head_dim / 2 = %d numbers",
                         r->source, field, (int)rope->n_pairs);
    for (int32_t j = 0; j < rope->n_pairs; j++) {
        double divisor;
        if (!json_f64(&list->items[j], &divisor) || !isfinite(divisor) || divisor <= 0)
            return refuse(r, field, "numbers above 0");
        out[j] = 1.0f / ((float)divisor * pair_power(rope->theta, j, rope->n_pairs));
    }
    return STATUS_OK;
}

static status read_longrope(struct rope_config *rope, const struct reader *r)
{
    double original = (double)rope->original_max_position_embeddings;
    TRY(read_positive(r, "factor", (double)rope->max_position_embeddings / original,
                      &rope->factor));
    double factor = rope->factor > 1 ? sqrt(1 + log(rope->factor) / log(original)) : 1;
    TRY(read_positive(r, "attention_factor", factor, &rope->attention_factor));
    TRY(read_divisors(rope, r, "short_factor", rope->inverse_frequencies));
    return read_divisors(rope, r, "long_factor", rope->long_inverse_frequencies);
}

static status read_llama3(struct rope_config *rope, const struct reader *r)
{
    const double required = (double)NAN;
    TRY(read_positive(r, "factor", required, &rope->factor));
    TRY(read_positive(r, "low_freq_factor", required, &rope->low_freq_factor));
    TRY(read_positive(r, "high_freq_factor", required, &rope->high_freq_factor));
    if (rope->high_freq_factor <= rope->low_freq_factor)
        return refuse(r, "high_freq_factor", "more than low_freq_factor");
    fill_llama3(rope);
    return STATUS_OK;
}

static status read_by_kind(struct rope_config *rope, const struct reader *r)
{
    const double required = (double)NAN;
    switch (rope->kind) {
    case ROPE_DEFAULT:
        fill_default(rope);
        return STATUS_OK;
    case ROPE_LINEAR:
        TRY(read_positive(r, "factor", required, &rope->factor));
        fill_linear(rope);
        return STATUS_OK;
    case ROPE_DYNAMIC:
        TRY(read_positive(r, "factor", required, &rope->factor));
        if (rope->n_pairs < 2) return refuse(r, "rope_type", "a head_dim above 2 for dynamic");
        fill_default(rope);
        return STATUS_OK;
    case ROPE_YARN:
        return read_yarn(rope, r);
    case ROPE_LONGROPE:
        return read_longrope(rope, r);
    case ROPE_LLAMA3:
        return read_llama3(rope, r);
    }
    return error_set(r->err, STATUS_INTERNAL, "%s: rope kind %d", r->source, (int)rope->kind);
}

/* rope_scaling, the older name, goes before rope_parameters, as in transformers. */
static status find_params(struct reader *r)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    for (int i = 0; i < 2; i++) {
        const struct json *params = json_get(r->config, names[i]);
        if (!params || params->type == JSON_NULL) continue;
        if (params->type != JSON_OBJECT)
            return error_set(r->err, STATUS_FORMAT, "%s: %s is not an object", r->source, names[i]);
        if (params->n_items == 0) continue;
        for (uint32_t k = 0; k < params->n_items; k++)
            if (params->items[k].type == JSON_OBJECT)
                return error_set(r->err, STATUS_UNSUPPORTED,
                                 "%s: %s differs by layer type, which is not supported", r->source,
                                 names[i]);
        r->params = params;
        return STATUS_OK;
    }
    return STATUS_OK;
}

static bool all_finite(const float *values, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

status rope_config_parse(struct rope_config *rope, const struct json *config, int64_t head_dim,
                         int64_t max_position_embeddings, const char *source, struct error *err)
{
    struct reader r = {.config = config, .source = source, .err = err};
    *rope = (struct rope_config){
        .factor = 1,
        .attention_factor = 1,
        .max_position_embeddings = max_position_embeddings,
        .n_pairs = (int32_t)(head_dim / 2),
    };
    if (head_dim < 2 || head_dim % 2 || head_dim / 2 > ROPE_MAX_PAIRS)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: head_dim is %lld, expected an even number up to %d", source,
                         (long long)head_dim, 2 * ROPE_MAX_PAIRS);
    double theta, partial;
    TRY(find_params(&r));
    TRY(read_kind(rope, &r));
    TRY(json_member_f64(config, "rope_theta", 10000.0, source, &theta, err));
    TRY(read_positive(&r, "rope_theta", theta, &rope->theta));
    TRY(json_member_f64(config, "partial_rotary_factor", 1, source, &partial, err));
    TRY(read_number(&r, "partial_rotary_factor", partial, &partial));
    if (partial != 1)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: partial_rotary_factor is %g, only 1 is supported", source, partial);
    TRY(read_original_length(rope, &r));
    TRY(read_by_kind(rope, &r));
    if (!all_finite(rope->inverse_frequencies, rope->n_pairs) ||
        !all_finite(rope->long_inverse_frequencies, rope->n_pairs) ||
        !isfinite(rope->attention_factor))
        return error_set(err, STATUS_FORMAT,
                         "%s: the rope parameters give frequencies that are not finite", source);
    return STATUS_OK;
}

status rope_config_divide(struct rope_config *rope, const float *divisors, const char *source,
                          struct error *err)
{
    for (int32_t j = 0; j < rope->n_pairs; j++) {
        if (!isfinite(divisors[j]) || divisors[j] <= 0)
            return error_set(err, STATUS_FORMAT, "%s: divisor %d of the rope frequencies is %g",
                             source, (int)j, (double)divisors[j]);
        rope->inverse_frequencies[j] /= divisors[j];
    }
    if (!all_finite(rope->inverse_frequencies, rope->n_pairs))
        return error_set(err, STATUS_FORMAT, "%s: the rope frequencies are not finite", source);
    if (rope->kind == ROPE_DEFAULT) rope->kind = ROPE_LLAMA3;
    return STATUS_OK;
}

void rope_config_divisors(const struct rope_config *rope, float *divisors)
{
    for (int32_t j = 0; j < rope->n_pairs; j++)
        divisors[j] =
            1.0f / pair_power(rope->theta, j, rope->n_pairs) / rope->inverse_frequencies[j];
}

bool rope_config_find_llama3(struct rope_config *rope)
{
    float divisors[ROPE_MAX_PAIRS];
    rope_config_divisors(rope, divisors);
    struct rope_config trial = *rope;
    trial.low_freq_factor = 1;
    trial.high_freq_factor = 4;
    trial.factor = round((double)divisors[rope->n_pairs - 1] * 1024) / 1024;
    for (int64_t length = 16; length <= 1 << 20; length *= 2) {
        bool same = true;
        trial.original_max_position_embeddings = length;
        fill_llama3(&trial);
        for (int32_t j = 0; j < rope->n_pairs && same; j++) {
            float wanted = rope->inverse_frequencies[j];
            same = fabsf(trial.inverse_frequencies[j] - wanted) <= 1e-5f * wanted;
        }
        if (!same) continue;
        *rope = trial;
        return true;
    }
    return false;
}

/* ---- angles ---- */

void rope_angles(const struct rope_config *rope, int32_t position, int32_t length, float *cos_out,
                 float *sin_out)
{
    const float *frequencies = rope->inverse_frequencies;
    if (rope->kind == ROPE_LONGROPE && length > rope->original_max_position_embeddings)
        frequencies = rope->long_inverse_frequencies;
    bool stretched = rope->kind == ROPE_DYNAMIC && length > rope->max_position_embeddings;
    double base = stretched ? dynamic_base(rope, length) : 0;
    float scale = (float)rope->attention_factor;
    for (int32_t j = 0; j < rope->n_pairs; j++) {
        float frequency = stretched ? 1.0f / pair_power(base, j, rope->n_pairs) : frequencies[j];
        double angle = (double)((float)position * frequency);
        cos_out[j] = (float)cos(angle) * scale;
        sin_out[j] = (float)sin(angle) * scale;
    }
}
