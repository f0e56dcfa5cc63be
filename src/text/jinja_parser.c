/* jinja_parser: tokens -> statements. */
#include "text/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- helpers that both parser files use ------------------------------------------------------- */

void *jinja_parser_fail(struct jinja_parser *p, int line, const char *format, ...)
{
    if (p->failure) return NULL;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->failure = error_set(p->err, STATUS_FORMAT, "line %d: %s", line, text);
    return NULL;
}

void *jinja_parser_no_memory(struct jinja_parser *p)
{
    if (p->failure) return NULL;
    p->failure = p->arena->lacked_memory
                     ? error_set(p->err, STATUS_NO_MEMORY, "no memory for the template")
                     : error_set(p->err, STATUS_LIMIT,
                                 "the template needs more memory than its budget of %zu bytes",
                                 p->arena->limit);
    return NULL;
}

bool jinja_parser_enter(struct jinja_parser *p)
{
    if (++p->depth <= p->depth_limit) return true;
    if (!p->failure)
        p->failure = error_set(p->err, STATUS_LIMIT,
                               "line %d: blocks and expressions are nested more than %d deep",
                               p->at->line, p->depth_limit);
    return false;
}

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_node_kind kind, int line)
{
    struct jinja_node *node = ARENA_NEW(p->arena, struct jinja_node);
    if (!node) return jinja_parser_no_memory(p);
    node->kind = (uint8_t)kind;
    node->line = line;
    node->depth = 1;
    return node;
}

bool jinja_node_adopt(struct jinja_parser *p, struct jinja_node *parent,
                      const struct jinja_node *child)
{
    if (child->depth >= parent->depth) parent->depth = child->depth + 1;
    if (parent->depth <= p->depth_limit) return true;
    if (!p->failure)
        p->failure = error_set(p->err, STATUS_LIMIT,
                               "line %d: blocks and expressions are nested more than %d deep",
                               parent->line, p->depth_limit);
    return false;
}

bool jinja_nodes_push(struct jinja_parser *p, struct jinja_nodes *list, struct jinja_node *node)
{
    if (list->n == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct jinja_node **items = ARENA_ARRAY(p->arena, struct jinja_node *, capacity);
        if (!items) return jinja_parser_no_memory(p) != NULL;
        if (list->n) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = node;
    return true;
}

bool jinja_at_operator(const struct jinja_parser *p, enum jinja_operator op)
{
    return p->at->type == TOKEN_OPERATOR && p->at->op == op;
}

bool jinja_at_name(const struct jinja_parser *p, const char *name)
{
    return p->at->type == TOKEN_NAME && str_equal_c(p->at->text, name);
}

bool jinja_skip_operator(struct jinja_parser *p, enum jinja_operator op)
{
    if (!jinja_at_operator(p, op)) return false;
    p->at++;
    return true;
}

bool jinja_skip_name(struct jinja_parser *p, const char *name)
{
    if (!jinja_at_name(p, name)) return false;
    p->at++;
    return true;
}

static const char *const operator_text[] = {
    [OP_ADD] = "+",       [OP_SUB] = "-",       [OP_MUL] = "*",    [OP_DIV] = "/",
    [OP_FLOORDIV] = "//", [OP_MOD] = "%",       [OP_POW] = "**",   [OP_TILDE] = "~",
    [OP_LBRACKET] = "[",  [OP_RBRACKET] = "]",  [OP_LPAREN] = "(", [OP_RPAREN] = ")",
    [OP_LBRACE] = "{",    [OP_RBRACE] = "}",    [OP_EQ] = "==",    [OP_NE] = "!=",
    [OP_GT] = ">",        [OP_GE] = ">=",       [OP_LT] = "<",     [OP_LE] = "<=",
    [OP_ASSIGN] = "=",    [OP_DOT] = ".",       [OP_COLON] = ":",  [OP_PIPE] = "|",
    [OP_COMMA] = ",",     [OP_SEMICOLON] = ";",
};

const char *jinja_token_describe(const struct jinja_token *token, char *buffer, size_t size)
{
    switch (token->type) {
    case TOKEN_END:
        return "the end of the template";
    case TOKEN_DATA:
        return "text";
    case TOKEN_VARIABLE_BEGIN:
        return "\"{{\"";
    case TOKEN_VARIABLE_END:
        return "\"}}\"";
    case TOKEN_BLOCK_BEGIN:
        return "\"{%\"";
    case TOKEN_BLOCK_END:
        return "\"%}\"";
    case TOKEN_STRING:
        return "a string";
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        return "a number";
    case TOKEN_OPERATOR:
        snprintf(buffer, size, "\"%s\"", operator_text[token->op]);
        return buffer;
    default:
        snprintf(buffer, size, "\"%.*s\"", STR_ARGS(str_slice(token->text, 0, 60)));
        return buffer;
    }
}

bool jinja_expect_operator(struct jinja_parser *p, enum jinja_operator op)
{
    if (jinja_skip_operator(p, op)) return true;
    char what[80];
    jinja_parser_fail(p, p->at->line, "expected \"%s\", got %s", operator_text[op],
                      jinja_token_describe(p->at, what, sizeof what));
    return false;
}

static bool expect_name(struct jinja_parser *p, const char *name)
{
    if (jinja_skip_name(p, name)) return true;
    char what[80];
    jinja_parser_fail(p, p->at->line, "expected \"%s\", got %s", name,
                      jinja_token_describe(p->at, what, sizeof what));
    return false;
}

static bool expect_end_of_tag(struct jinja_parser *p)
{
    if (p->at->type == TOKEN_BLOCK_END) {
        p->at++;
        return true;
    }
    char what[80];
    jinja_parser_fail(p, p->at->line, "expected the end of the tag \"%%}\", got %s",
                      jinja_token_describe(p->at, what, sizeof what));
    return false;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static struct jinja_node *parse_statement(struct jinja_parser *p);

static bool at_any(const struct jinja_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (jinja_at_name(p, *ends)) return true;
    return false;
}

/* Statements until a tag whose name is in `ends` (p->at is left on that name), or to the end of the
 * template when `ends` is NULL. */
static struct jinja_node *parse_body(struct jinja_parser *p, const char *opened, int opened_line,
                                     const char *const *ends)
{
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *block = jinja_node_new(p, NODE_BLOCK, p->at->line);
    struct jinja_nodes items = {0};
    if (!block) return NULL;
    while (p->at->type != TOKEN_END) {
        const struct jinja_token *token = p->at;
        struct jinja_node *node;
        if (token->type == TOKEN_DATA) {
            p->at++;
            node = jinja_node_new(p, NODE_DATA, token->line);
            if (node) node->constant = jinja_string(token->text);
        } else if (token->type == TOKEN_VARIABLE_BEGIN) {
            p->at++;
            node = jinja_node_new(p, NODE_PRINT, token->line);
            if (node) node->a = jinja_parse_tuple(p, TUPLE_ANY, false, NULL);
            if (!node || !node->a || !jinja_node_adopt(p, node, node->a)) return NULL;
            char what[80];
            if (p->at->type != TOKEN_VARIABLE_END)
                return jinja_parser_fail(p, p->at->line, "expected \"}}\", got %s",
                                         jinja_token_describe(p->at, what, sizeof what));
            p->at++;
        } else {
            p->at++; /* {% */
            if (at_any(p, ends)) break;
            node = parse_statement(p);
            if (node && !expect_end_of_tag(p)) return NULL;
        }
        if (!node || !jinja_node_adopt(p, block, node) || !jinja_nodes_push(p, &items, node))
            return NULL;
    }
    jinja_parser_leave(p);
    if (ends && p->at->type == TOKEN_END)
        return jinja_parser_fail(p, opened_line, "\"%s\" is not closed: expected \"{%% %s %%}\"",
                                 opened, ends[0]);
    block->items = items.items;
    block->n_items = items.n;
    return block;
}

/* [:] %} body, up to and including the name of the end tag. */
static struct jinja_node *parse_block(struct jinja_parser *p, struct jinja_node *owner,
                                      const char *opened, const char *const *ends)
{
    jinja_skip_operator(p, OP_COLON);
    if (!expect_end_of_tag(p)) return NULL;
    struct jinja_node *body = parse_body(p, opened, owner->line, ends);
    return body && jinja_node_adopt(p, owner, body) ? body : NULL;
}

static struct jinja_node *parse_closed_block(struct jinja_parser *p, struct jinja_node *owner,
                                             const char *opened, const char *end)
{
    struct jinja_node *body = parse_block(p, owner, opened, (const char *const[]){end, NULL});
    if (body) p->at++;
    return body;
}

/* ---- targets --------------------------------------------------------------------------------- */

static bool mark_target(struct jinja_parser *p, struct jinja_node *target,
                        enum jinja_name_context context)
{
    switch (target->kind) {
    case NODE_NAME:
        target->context = (uint8_t)context;
        return true;
    case NODE_NAMESPACE_TARGET:
        return true;
    case NODE_TUPLE:
        for (uint32_t i = 0; i < target->n_items; i++)
            if (!mark_target(p, target->items[i], context)) return false;
        return true;
    default:
        jinja_parser_fail(p, target->line, "expected a name to assign to");
        return false;
    }
}

static struct jinja_node *parse_target(struct jinja_parser *p, bool allow_namespace,
                                       const char *stop, enum jinja_name_context context)
{
    struct jinja_node *target = jinja_parse_tuple(p, TUPLE_TARGET, allow_namespace, stop);
    return target && mark_target(p, target, context) ? target : NULL;
}

static struct jinja_node *parse_name_target(struct jinja_parser *p, enum jinja_name_context context)
{
    const struct jinja_token *token = p->at;
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None", NULL};
    char what[80];
    if (token->type != TOKEN_NAME || at_any(p, constants))
        return jinja_parser_fail(p, token->line, "expected a name to assign to, got %s",
                                 jinja_token_describe(token, what, sizeof what));
    struct jinja_node *node = jinja_node_new(p, NODE_NAME, token->line);
    if (!node) return NULL;
    node->name = token->text;
    node->context = (uint8_t)context;
    p->at++;
    return node;
}

/* ---- statements ------------------------------------------------------------------------------ */

static struct jinja_node *parse_if(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_nodes items = {0};
    for (;;) {
        struct jinja_node *test = jinja_parse_tuple(p, TUPLE_NO_CONDITION, false, NULL);
        if (!test || !jinja_node_adopt(p, node, test) || !jinja_nodes_push(p, &items, test))
            return NULL;
        struct jinja_node *body =
            parse_block(p, node, "if", (const char *const[]){"endif", "elif", "else", NULL});
        if (!body || !jinja_nodes_push(p, &items, body)) return NULL;
        if (!jinja_skip_name(p, "elif")) break;
    }
    node->items = items.items;
    node->n_items = items.n;
    if (jinja_skip_name(p, "else")) {
        node->b = parse_closed_block(p, node, "if", "endif");
        return node->b ? node : NULL;
    }
    p->at++; /* endif */
    return node;
}

static struct jinja_node *parse_for(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = parse_target(p, false, "in", NAME_PARAMETER);
    if (!node->a || !expect_name(p, "in")) return NULL;
    node->b = jinja_parse_tuple(p, TUPLE_NO_CONDITION, false, "recursive");
    if (!node->b || !jinja_node_adopt(p, node, node->a) || !jinja_node_adopt(p, node, node->b))
        return NULL;
    if (jinja_skip_name(p, "if")) {
        node->c = jinja_parse_expression(p);
        if (!node->c || !jinja_node_adopt(p, node, node->c)) return NULL;
    }
    node->flag = jinja_skip_name(p, "recursive");
    p->loops++;
    node->body = parse_block(p, node, "for", (const char *const[]){"endfor", "else", NULL});
    p->loops--;
    if (!node->body) return NULL;
    if (jinja_skip_name(p, "else")) {
        node->d = parse_closed_block(p, node, "for", "endfor");
        return node->d ? node : NULL;
    }
    p->at++; /* endfor */
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = parse_target(p, true, NULL, NAME_STORE);
    if (!node->a || !jinja_node_adopt(p, node, node->a)) return NULL;
    if (jinja_skip_operator(p, OP_ASSIGN)) {
        node->b = jinja_parse_tuple(p, TUPLE_ANY, false, NULL);
        return node->b && jinja_node_adopt(p, node, node->b) ? node : NULL;
    }
    node->kind = NODE_SET_BLOCK;
    if (jinja_at_operator(p, OP_PIPE)) {
        node->b = jinja_parse_filters(p, NULL, false);
        if (!node->b || !jinja_node_adopt(p, node, node->b)) return NULL;
    }
    node->body = parse_closed_block(p, node, "set", "endset");
    return node->body ? node : NULL;
}

static struct jinja_signature *parse_signature(struct jinja_parser *p, struct jinja_node *owner)
{
    struct jinja_signature *out = ARENA_NEW(p->arena, struct jinja_signature);
    if (!out) return jinja_parser_no_memory(p);
    struct jinja_nodes names = {0}, defaults = {0};
    if (!jinja_expect_operator(p, OP_LPAREN)) return NULL;
    bool has_default = false;
    while (!jinja_at_operator(p, OP_RPAREN)) {
        if (names.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        struct jinja_node *name = parse_name_target(p, NAME_PARAMETER);
        if (!name) return NULL;
        for (uint32_t i = 0; i < names.n; i++)
            if (str_equal(names.items[i]->name, name->name))
                return jinja_parser_fail(p, name->line, "the parameter \"%.*s\" is there twice",
                                         STR_ARGS(name->name));
        struct jinja_node *value = NULL;
        if (jinja_skip_operator(p, OP_ASSIGN)) {
            has_default = true;
            value = jinja_parse_expression(p);
            if (!value || !jinja_node_adopt(p, owner, value)) return NULL;
        } else if (has_default) {
            return jinja_parser_fail(p, name->line,
                                     "a parameter without default follows one with a default");
        }
        if (!jinja_nodes_push(p, &names, name) || !jinja_nodes_push(p, &defaults, value))
            return NULL;
    }
    p->at++;
    out->parameters = names.items;
    out->defaults = defaults.items;
    out->n = names.n;
    return out;
}

/* The body of a macro: loops around it are not loops to break out of. */
static bool parse_macro_body(struct jinja_parser *p, struct jinja_node *node, const char *opened,
                             const char *end)
{
    int loops = p->loops;
    p->loops = 0;
    node->body = parse_closed_block(p, node, opened, end);
    p->loops = loops;
    return node->body != NULL;
}

static struct jinja_node *parse_macro(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node *name = parse_name_target(p, NAME_STORE);
    if (!name) return NULL;
    node->a = name;
    node->name = name->name;
    node->signature = parse_signature(p, node);
    return node->signature && parse_macro_body(p, node, "macro", "endmacro") ? node : NULL;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p, struct jinja_node *node)
{
    if (jinja_at_operator(p, OP_LPAREN))
        node->signature = parse_signature(p, node);
    else if (!(node->signature = ARENA_NEW(p->arena, struct jinja_signature)))
        return jinja_parser_no_memory(p);
    if (!node->signature) return NULL;
    node->a = jinja_parse_expression(p);
    if (!node->a || !jinja_node_adopt(p, node, node->a)) return NULL;
    if (node->a->kind != NODE_CALL)
        return jinja_parser_fail(p, node->line, "expected a call behind \"call\"");
    return parse_macro_body(p, node, "call", "endcall") ? node : NULL;
}

static struct jinja_node *parse_with(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_nodes items = {0};
    while (p->at->type != TOKEN_BLOCK_END) {
        if (items.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        struct jinja_node *target = parse_target(p, false, NULL, NAME_PARAMETER);
        if (!target || !jinja_expect_operator(p, OP_ASSIGN)) return NULL;
        struct jinja_node *value = jinja_parse_expression(p);
        if (!value || !jinja_node_adopt(p, node, value) || !jinja_node_adopt(p, node, target) ||
            !jinja_nodes_push(p, &items, target) || !jinja_nodes_push(p, &items, value))
            return NULL;
    }
    node->items = items.items;
    node->n_items = items.n;
    node->body = parse_closed_block(p, node, "with", "endwith");
    return node->body ? node : NULL;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = jinja_parse_filters(p, NULL, true);
    if (!node->a || !jinja_node_adopt(p, node, node->a)) return NULL;
    node->body = parse_closed_block(p, node, "filter", "endfilter");
    return node->body ? node : NULL;
}

static struct jinja_node *parse_generation(struct jinja_parser *p, struct jinja_node *node)
{
    node->signature = ARENA_NEW(p->arena, struct jinja_signature);
    if (!node->signature) return jinja_parser_no_memory(p);
    return parse_macro_body(p, node, "generation", "endgeneration") ? node : NULL;
}

static struct jinja_node *parse_print(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_nodes items = {0};
    while (p->at->type != TOKEN_BLOCK_END) {
        if (items.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        struct jinja_node *print = jinja_node_new(p, NODE_PRINT, p->at->line);
        if (!print || !(print->a = jinja_parse_expression(p))) return NULL;
        if (!jinja_node_adopt(p, print, print->a) || !jinja_node_adopt(p, node, print) ||
            !jinja_nodes_push(p, &items, print))
            return NULL;
    }
    node->items = items.items;
    node->n_items = items.n;
    return node;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, struct jinja_node *node)
{
    if (p->loops == 0)
        return jinja_parser_fail(p, node->line, "\"%s\" outside a for-loop",
                                 node->kind == NODE_BREAK ? "break" : "continue");
    return node;
}

static const struct {
    const char *name;
    enum jinja_node_kind kind;
    struct jinja_node *(*parse)(struct jinja_parser *, struct jinja_node *);
} statements[] = {
    {"if", NODE_IF, parse_if},
    {"for", NODE_FOR, parse_for},
    {"set", NODE_SET, parse_set},
    {"macro", NODE_MACRO, parse_macro},
    {"call", NODE_CALL_BLOCK, parse_call_block},
    {"generation", NODE_GENERATION, parse_generation},
    {"filter", NODE_FILTER_BLOCK, parse_filter_block},
    {"with", NODE_WITH, parse_with},
    {"print", NODE_BLOCK, parse_print},
    {"break", NODE_BREAK, parse_jump},
    {"continue", NODE_CONTINUE, parse_jump},
};

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    char what[80];
    const struct jinja_token *token = p->at;
    if (token->type != TOKEN_NAME)
        return jinja_parser_fail(p, token->line, "expected a tag's name, got %s",
                                 jinja_token_describe(token, what, sizeof what));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!str_equal_c(token->text, statements[i].name)) continue;
        struct jinja_node *node = jinja_node_new(p, statements[i].kind, token->line);
        p->at++;
        return node ? statements[i].parse(p, node) : NULL;
    }
    static const char *const unsupported[] = {"block", "extends",    "include", "import",
                                              "from",  "autoescape", NULL};
    if (at_any(p, unsupported)) {
        if (!p->failure)
            p->failure = error_set(p->err, STATUS_UNSUPPORTED,
                                   "line %d: the tag %s is not supported in chat templates",
                                   token->line, jinja_token_describe(token, what, sizeof what));
        return NULL;
    }
    return jinja_parser_fail(p, token->line, "unknown or misplaced tag %s",
                             jinja_token_describe(token, what, sizeof what));
}

status jinja_parse(struct jinja_template *t, const struct jinja_tokens *tokens, struct error *err)
{
    struct jinja_parser p = {
        .arena = &t->arena, .at = tokens->items, .err = err, .depth_limit = t->depth_limit};
    t->root = parse_body(&p, "template", 1, NULL);
    if (t->root) return STATUS_OK;
    return p.failure ? p.failure : error_set(err, STATUS_INTERNAL, "the template parser failed");
}
