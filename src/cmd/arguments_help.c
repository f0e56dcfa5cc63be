/* The help text of a command, from the same table that parses its options. */
#include "cmd/arguments.h"

#include "cmd/text_width.h"
#include "base/utf8.h"

enum { OPTION_COLUMN = 30 };

static status spaces(struct strbuf *out, size_t count)
{
    while (count--) TRY(strbuf_append_char(out, ' '));
    return STATUS_OK;
}

static bool is_one_of(uint32_t code, const uint32_t *codes)
{
    while (*codes && *codes != code) codes++;
    return *codes != 0;
}

static bool may_not_begin_a_line(uint32_t code)
{
    static const uint32_t closing[] = {
        U'、', U'。', U'，', U'；', U'：', U'！', U'？', U'）', U'」',
        U'』', U'〕', U'》', U'…',  U')',  U',',  U'.',  U':',  0,
    };
    return is_one_of(code, closing);
}

static bool may_not_end_a_line(uint32_t code)
{
    static const uint32_t opening[] = {U'（', U'「', U'『', U'〔', U'《', 0};
    return is_one_of(code, opening);
}

/* The end of the piece at `at` that no line break divides: a word, or one wide character with the
 * punctuation that clings to it. */
static size_t piece_end(struct str text, size_t at)
{
    uint32_t previous, code;
    size_t end = text_cluster_next(text, at);
    utf8_decode(text.data + at, end - at, &previous);
    for (; end < text.size && text.data[end] != ' ' && text.data[end] != '\n'; previous = code) {
        size_t next = text_cluster_next(text, end);
        utf8_decode(text.data + end, next - end, &code);
        bool word = text_width_of(previous) < 2 && text_width_of(code) < 2;
        if (!word && !may_not_begin_a_line(code) && !may_not_end_a_line(previous)) break;
        end = next;
    }
    return end;
}

status arguments_wrap(struct strbuf *out, struct str text, size_t indent, size_t column,
                      size_t columns)
{
    for (size_t at = 0; at < text.size;) {
        if (text.data[at] == '\n') {
            TRY(strbuf_append_char(out, '\n'));
            if (++at < text.size) TRY(spaces(out, indent));
            column = indent;
            continue;
        }
        size_t blank = text.data[at] == ' ';
        if (at + blank >= text.size) break;
        size_t end = piece_end(text, at + blank);
        struct str piece = str_slice(text, at + blank, end);
        size_t width = text_width(piece);
        if (column + blank + width > columns && column > indent) {
            TRY(strbuf_append_char(out, '\n'));
            TRY(spaces(out, indent));
            column = indent;
            blank = 0;
        }
        TRY(spaces(out, blank));
        TRY(strbuf_append(out, piece));
        column += blank + width;
        at = end;
    }
    return STATUS_OK;
}

static status option_names(struct strbuf *out, const struct argument *argument)
{
    if (argument->letter)
        TRY(strbuf_appendf(out, "  -%c, ", argument->letter));
    else
        TRY(strbuf_append_c(out, "      "));
    TRY(strbuf_appendf(out, "--%s", argument->name));
    if (argument->type == ARGUMENT_FLAG) return STATUS_OK;
    return strbuf_appendf(out, " %s", argument->placeholder ? argument->placeholder : "TEXT");
}

static status option_help(struct strbuf *out, const struct argument *argument, size_t columns)
{
    size_t begin = out->size;
    TRY(option_names(out, argument));
    size_t column = text_width(str_slice(strbuf_view(out), begin, out->size));
    if (column + 2 > OPTION_COLUMN) {
        TRY(strbuf_append_char(out, '\n'));
        column = 0;
    }
    TRY(spaces(out, OPTION_COLUMN - column));
    struct strbuf text = {0};
    status result = strbuf_append_c(&text, message(argument->help));
    if (result == STATUS_OK && argument->choices)
        result = strbuf_appendf(&text, " {%s}", argument->choices);
    if (result == STATUS_OK && argument->fallback)
        result = strbuf_appendf(&text, message(MESSAGE_HELP_DEFAULT), argument->fallback);
    if (result == STATUS_OK)
        result = arguments_wrap(out, strbuf_view(&text), OPTION_COLUMN, OPTION_COLUMN, columns);
    strbuf_deinit(&text);
    TRY(result);
    return strbuf_append_char(out, '\n');
}

status arguments_help(const struct command *command, size_t columns, struct strbuf *out)
{
    if (columns < 60) columns = 60;
    if (columns > 100) columns = 100;
    TRY(strbuf_appendf(out, "%stwllm %s%s%s [%s]\n\n", message(MESSAGE_HELP_USAGE), command->name,
                       *command->usage ? " " : "", command->usage,
                       message(MESSAGE_HELP_OPTIONS_WORD)));
    TRY(arguments_wrap(out, str_of(message(command->summary)), 0, 0, columns));
    TRY(strbuf_append_c(out, "\n"));
    if (*message(command->details)) {
        TRY(strbuf_append_char(out, '\n'));
        TRY(arguments_wrap(out, str_of(message(command->details)), 0, 0, columns));
        TRY(strbuf_append_char(out, '\n'));
    }
    for (size_t g = 0; g < COMMAND_GROUPS && command->groups[g].count; g++) {
        TRY(strbuf_appendf(out, "\n%s\n", message(command->groups[g].title)));
        for (size_t i = 0; i < command->groups[g].count; i++)
            TRY(option_help(out, &command->groups[g].arguments[i], columns));
    }
    TRY(strbuf_appendf(out, "\n%s\n", message(MESSAGE_HELP_EXAMPLES)));
    for (const char *at = command->examples; *at;) {
        size_t length = strcspn(at, "\n");
        TRY(strbuf_appendf(out, "  %.*s\n", (int)length, at));
        at += length + (at[length] == '\n');
    }
    TRY(strbuf_append_char(out, '\n'));
    TRY(arguments_wrap(out, str_of(message(MESSAGE_HELP_EXIT_CODES)), 0, 0, columns));
    return strbuf_append_char(out, '\n');
}
