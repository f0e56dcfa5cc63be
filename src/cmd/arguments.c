#define _GNU_SOURCE
#include "cmd/arguments.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct argument *find_argument(const struct command *command, struct str name,
                                            char letter)
{
    for (size_t g = 0; g < COMMAND_GROUPS; g++) {
        const struct argument_group *group = &command->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            const struct argument *argument = &group->arguments[i];
            if (letter ? argument->letter == letter : str_equal_c(name, argument->name))
                return argument;
        }
    }
    return NULL;
}

/* Edit distance with transpositions (optimal string alignment), capped at `limit`. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
    enum { LONGEST = 64 };
    size_t n = strlen(a), m = strlen(b), rows[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return limit;
    for (size_t j = 0; j <= m; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *before = rows[(i - 1) % 3], *older = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && older[j - 2] + 1 < best) best = older[j - 2] + 1;
            now[j] = best;
        }
    }
    size_t distance = rows[n % 3][m];
    return distance < limit ? distance : limit;
}

const char *arguments_suggest(const char *typed, const char *const *names, size_t count)
{
    size_t length = strlen(typed), best = 2 + length / 4;
    const char *nearest = NULL;
    if (best > length) best = length;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(typed, names[i], best);
        if (length >= 4 && distance >= best && !strncmp(typed, names[i], length) && !nearest)
            nearest = names[i]; /* an abbreviation */
        if (distance >= best) continue;
        best = distance;
        nearest = names[i];
    }
    return nearest;
}

static status unknown_option(const struct command *command, struct str name, struct error *err)
{
    const char *names[256], *suggestion;
    size_t count = 0;
    for (size_t g = 0; g < COMMAND_GROUPS; g++)
        for (size_t i = 0; i < command->groups[g].count && count < 255; i++)
            names[count++] = command->groups[g].arguments[i].name;
    names[count++] = "help";
    char *typed = strndup(name.data, name.size);
    suggestion = typed ? arguments_suggest(typed, names, count) : NULL;
    free(typed);
    if (suggestion)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_UNKNOWN_SUGGEST),
                         (int)name.size, name.data, suggestion);
    return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_UNKNOWN), (int)name.size,
                     name.data, command->name);
}

static status out_of_range(const struct argument *argument, const char *text, struct error *err)
{
    char low[32], high[32];
    snprintf(low, sizeof low, "%g", argument->low);
    snprintf(high, sizeof high, "%g", argument->high);
    return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_RANGE), argument->name, low, high,
                     text);
}

static bool has_range(const struct argument *argument)
{
    return argument->low != 0 || argument->high != 0;
}

static status parse_integer(const struct argument *argument, const char *text, struct error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text))
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NOT_INTEGER), argument->name,
                         text);
    if (errno ||
        (has_range(argument) && ((double)value < argument->low || (double)value > argument->high)))
        return out_of_range(argument, text, err);
    *(int64_t *)argument->value = value;
    return STATUS_OK;
}

static status parse_number(const struct argument *argument, const char *text, struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || isspace((unsigned char)*text) || !isfinite(value))
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NOT_NUMBER), argument->name,
                         text);
    if (has_range(argument) && (value < argument->low || value > argument->high))
        return out_of_range(argument, text, err);
    *(double *)argument->value = value;
    return STATUS_OK;
}

static status parse_bytes(const struct argument *argument, const char *text, struct error *err)
{
    static const char units[] = "KMGT";
    char *end;
    double value = strtod(text, &end), factor = 1;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        factor = ldexp(1, 10 * (int)(unit - units + 1));
        end++;
        if (*end == 'i') end++;
    }
    if (*end == 'B') end++;
    if (end == text || *end || !(value >= 0) || value * factor > 0x1p60)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NOT_BYTES), argument->name,
                         text);
    *(int64_t *)argument->value = (int64_t)(value * factor);
    return STATUS_OK;
}

static status parse_choice(const struct argument *argument, const char *text, struct error *err)
{
    for (const char *at = argument->choices; *at;) {
        size_t length = strcspn(at, "|");
        if (strlen(text) == length && !strncmp(at, text, length)) {
            *(const char **)argument->value = text;
            return STATUS_OK;
        }
        at += length + (at[length] == '|');
    }
    return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_CHOICE), argument->name,
                     argument->choices, text);
}

static status set_flag(const struct argument *argument, bool value, struct error *err)
{
    if (argument->handle)
        return argument->handle(argument->value, argument->name, value ? "true" : "false", err);
    *(bool *)argument->value = value;
    return STATUS_OK;
}

static status take_value(const struct argument *argument, const char *text, struct error *err)
{
    switch (argument->type) {
    case ARGUMENT_FLAG:
        return set_flag(argument, true, err);
    case ARGUMENT_INTEGER:
        return parse_integer(argument, text, err);
    case ARGUMENT_NUMBER:
        return parse_number(argument, text, err);
    case ARGUMENT_BYTES:
        return parse_bytes(argument, text, err);
    case ARGUMENT_CHOICE:
        return parse_choice(argument, text, err);
    case ARGUMENT_TEXT:
        *(const char **)argument->value = text;
        return STATUS_OK;
    case ARGUMENT_HANDLED:
        return argument->handle(argument->value, argument->name, text, err);
    }
    return STATUS_INTERNAL;
}

static bool asks_for_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

/* One option and its value; *index is moved past what was taken. */
static status take_option(const struct command *command, int argc, char *const *argv, int *index,
                          struct error *err)
{
    const char *word = argv[(*index)++], *value = NULL;
    const struct argument *argument = NULL;
    struct str name;
    if (word[1] == '-') {
        value = strchr(word, '=');
        name = (struct str){word + 2, value ? (size_t)(value - word - 2) : strlen(word + 2)};
        if (value) value++;
        argument = find_argument(command, name, 0);
        if (!argument && str_starts_with(name, STR("no-"))) {
            argument = find_argument(command, str_slice(name, 3, name.size), 0);
            if (argument && argument->type == ARGUMENT_FLAG && !value) {
                return set_flag(argument, false, err);
            }
            argument = NULL;
        }
    } else {
        name = str_of(word + 1);
        argument = find_argument(command, name, word[1]);
        if (argument && word[2]) value = word + 2;
    }
    if (!argument) return unknown_option(command, name, err);
    if (argument->type == ARGUMENT_FLAG) {
        if (value)
            return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NO_VALUE), argument->name);
        return take_value(argument, NULL, err);
    }
    if (!value) {
        if (*index >= argc)
            return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_VALUE),
                             argument->name);
        value = argv[(*index)++];
    }
    return take_value(argument, value, err);
}

status arguments_parse(struct arguments *out, const struct command *command, int argc,
                       char *const *argv, struct error *err)
{
    *out = (struct arguments){0};
    if (asks_for_help(argc, argv)) {
        out->wants_help = true;
        return STATUS_OK;
    }
    out->positionals = calloc((size_t)argc + 1, sizeof *out->positionals);
    if (!out->positionals) return error_set(err, STATUS_NO_MEMORY, "%d arguments", argc);
    bool only_positionals = false;
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        if (only_positionals || word[0] != '-' || !word[1]) {
            if (out->n_positionals == command->max_positionals)
                return error_set(err, STATUS_INVALID, message(MESSAGE_ARGUMENT_EXTRA), word);
            out->positionals[out->n_positionals++] = word;
            i++;
        } else if (!strcmp(word, "--")) {
            only_positionals = true;
            i++;
        } else {
            TRY(take_option(command, argc, argv, &i, err));
        }
    }
    return STATUS_OK;
}

void arguments_deinit(struct arguments *arguments)
{
    free(arguments->positionals);
    *arguments = (struct arguments){0};
}
