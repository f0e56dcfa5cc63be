/* jinja_expression: tokens -> expressions, with Jinja2's precedence (loosest first):
 *   a if b else c | or | and | not | comparisons and in | + - | ~ | * / // % | ** | unary + - | postfix,
 *   then filters and tests. Runs of one level become one node, so that a long sum is not a deep tree. */
#include "text/jinja.h"

#include <stdio.h>
#include <string.h>

static struct jinja_node *parse_or(struct jinja_parser *);
static struct jinja_node *parse_unary(struct jinja_parser *, bool with_filters);
static struct jinja_node *parse_postfix(struct jinja_parser *, struct jinja_node *);

static int line(const struct jinja_parser *p) { return p->at->line; }

/* A chain node over what `parse` yields, while `operators` (ends with 0) follow. */
static struct jinja_node *parse_chain(struct jinja_parser *p, enum jinja_node_kind kind,
                                      const uint8_t *operators,
                                      struct jinja_node *(*parse)(struct jinja_parser *))
{
    int start = line(p);
    struct jinja_node *first = parse(p);
    if (!first) return NULL;
    struct jinja_nodes rest = {0};
    uint8_t ops[64];
    struct jinja_node *node = NULL;
    for (;;) {
        uint8_t op = 0;
        for (const uint8_t *o = operators; *o && !op; o++)
            if (jinja_skip_operator(p, *o)) op = *o;
        if (op && !node) {
            node = jinja_node_new(p, kind, start);
            if (!node || !jinja_node_adopt(p, node, first)) return NULL;
            node->a = first;
        }
        if (!op || rest.n == sizeof ops) { /* close this node; a longer chain nests */
            if (!node) return first;
            node->items = rest.items;
            node->n_items = rest.n;
            node->ops = arena_alloc_aligned(p->arena, rest.n, 1);
            if (!node->ops) return jinja_parser_no_memory(p);
            memcpy(node->ops, ops, rest.n);
            if (!op) return node;
            first = node;
            node = jinja_node_new(p, kind, start);
            if (!node || !jinja_node_adopt(p, node, first)) return NULL;
            node->a = first;
            rest = (struct jinja_nodes){0};
        }
        struct jinja_node *right = parse(p);
        if (!right || !jinja_node_adopt(p, node, right)) return NULL;
        ops[rest.n] = op;
        if (!jinja_nodes_push(p, &rest, right)) return NULL;
    }
}

static struct jinja_node *unary_with_filters(struct jinja_parser *p)
{
    return parse_unary(p, true);
}

static struct jinja_node *parse_power(struct jinja_parser *p)
{
    return parse_chain(p, NODE_CHAIN, (const uint8_t[]){OP_POW, 0}, unary_with_filters);
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
    return parse_chain(p, NODE_CHAIN, (const uint8_t[]){OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, 0},
                       parse_power);
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    return parse_chain(p, NODE_CONCAT, (const uint8_t[]){OP_TILDE, 0}, parse_product);
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
    return parse_chain(p, NODE_CHAIN, (const uint8_t[]){OP_ADD, OP_SUB, 0}, parse_concat);
}

static uint8_t skip_comparison(struct jinja_parser *p)
{
    static const uint8_t comparisons[] = {OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE, 0};
    for (const uint8_t *o = comparisons; *o; o++)
        if (jinja_skip_operator(p, *o)) return *o;
    if (jinja_skip_name(p, "in")) return OP_IN;
    if (jinja_at_name(p, "not") && p->at[1].type == TOKEN_NAME &&
        str_equal_c(p->at[1].text, "in")) {
        p->at += 2;
        return OP_NOT_IN;
    }
    return OP_NONE;
}

static struct jinja_node *parse_comparison(struct jinja_parser *p)
{
    int start = line(p);
    struct jinja_node *first = parse_sum(p);
    if (!first) return NULL;
    struct jinja_node *node = NULL;
    struct jinja_nodes rest = {0};
    uint8_t ops[64];
    for (uint8_t op; (op = skip_comparison(p)) != OP_NONE;) {
        if (!node) {
            node = jinja_node_new(p, NODE_COMPARE, start);
            if (!node || !jinja_node_adopt(p, node, first)) return NULL;
            node->a = first;
        }
        if (rest.n == sizeof ops)
            return jinja_parser_fail(p, start, "a comparison has more than %zu operators",
                                     sizeof ops);
        ops[rest.n] = op;
        struct jinja_node *right = parse_sum(p);
        if (!right || !jinja_node_adopt(p, node, right) || !jinja_nodes_push(p, &rest, right))
            return NULL;
    }
    if (!node) return first;
    node->items = rest.items;
    node->n_items = rest.n;
    node->ops = arena_alloc_aligned(p->arena, rest.n, 1);
    if (!node->ops) return jinja_parser_no_memory(p);
    memcpy(node->ops, ops, rest.n);
    return node;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    if (!jinja_at_name(p, "not")) return parse_comparison(p);
    int start = line(p);
    p->at++;
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *inner = parse_not(p);
    jinja_parser_leave(p);
    struct jinja_node *node = inner ? jinja_node_new(p, NODE_NOT, start) : NULL;
    if (!node || !jinja_node_adopt(p, node, inner)) return NULL;
    node->a = inner;
    return node;
}

static struct jinja_node *parse_words(struct jinja_parser *p, enum jinja_node_kind kind,
                                      const char *word,
                                      struct jinja_node *(*parse)(struct jinja_parser *))
{
    int start = line(p);
    struct jinja_node *first = parse(p);
    if (!first || !jinja_at_name(p, word)) return first;
    struct jinja_node *node = jinja_node_new(p, kind, start);
    struct jinja_nodes items = {0};
    if (!node || !jinja_node_adopt(p, node, first) || !jinja_nodes_push(p, &items, first))
        return NULL;
    while (jinja_skip_name(p, word)) {
        struct jinja_node *next = parse(p);
        if (!next || !jinja_node_adopt(p, node, next) || !jinja_nodes_push(p, &items, next))
            return NULL;
    }
    node->items = items.items;
    node->n_items = items.n;
    return node;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    return parse_words(p, NODE_AND, "and", parse_not);
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
    return parse_words(p, NODE_OR, "or", parse_and);
}

static struct jinja_node *parse_condition(struct jinja_parser *p)
{
    int start = line(p);
    struct jinja_node *value = parse_or(p);
    while (value && jinja_skip_name(p, "if")) {
        struct jinja_node *node = jinja_node_new(p, NODE_CONDITION, start);
        struct jinja_node *test = node ? parse_or(p) : NULL;
        if (!test || !jinja_node_adopt(p, node, value) || !jinja_node_adopt(p, node, test))
            return NULL;
        node->a = value;
        node->b = test;
        if (jinja_skip_name(p, "else")) {
            node->c = jinja_parse_expression(p);
            if (!node->c || !jinja_node_adopt(p, node, node->c)) return NULL;
        }
        value = node;
    }
    return value;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p)
{
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *node = parse_condition(p);
    jinja_parser_leave(p);
    return node;
}

/* ---- primaries ------------------------------------------------------------------------------- */

static struct jinja_node *constant(struct jinja_parser *p, int start, struct jinja_value value)
{
    struct jinja_node *node = jinja_node_new(p, NODE_CONST, start);
    if (node) node->constant = value;
    return node;
}

static struct jinja_node *parse_strings(struct jinja_parser *p)
{
    const struct jinja_token *first = p->at;
    size_t size = 0;
    for (; p->at->type == TOKEN_STRING; p->at++) size += p->at->text.size;
    if (p->at == first + 1) return constant(p, first->line, jinja_string(first->text));
    char *joined = arena_alloc_aligned(p->arena, size + 1, 1);
    if (!joined) return jinja_parser_no_memory(p);
    size_t n = 0;
    for (const struct jinja_token *t = first; t < p->at; t++) {
        if (t->text.size) memcpy(joined + n, t->text.data, t->text.size);
        n += t->text.size;
    }
    return constant(p, first->line, jinja_string((struct str){joined, n}));
}

/* The items of a list or dict behind its opening bracket. */
static struct jinja_node *parse_items(struct jinja_parser *p, enum jinja_node_kind kind,
                                      enum jinja_operator end)
{
    struct jinja_node *node = jinja_node_new(p, kind, line(p));
    if (!node) return NULL;
    p->at++;
    struct jinja_nodes items = {0};
    while (!jinja_at_operator(p, end)) {
        if (items.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        if (jinja_at_operator(p, end)) break;
        struct jinja_node *item = jinja_parse_expression(p);
        if (!item || !jinja_node_adopt(p, node, item) || !jinja_nodes_push(p, &items, item))
            return NULL;
        if (kind != NODE_DICT) continue;
        if (!jinja_expect_operator(p, OP_COLON)) return NULL;
        item = jinja_parse_expression(p);
        if (!item || !jinja_node_adopt(p, node, item) || !jinja_nodes_push(p, &items, item))
            return NULL;
    }
    p->at++;
    node->items = items.items;
    node->n_items = items.n;
    return node;
}

static struct jinja_node *parse_name(struct jinja_parser *p, bool allow_namespace)
{
    const struct jinja_token *token = p->at++;
    struct str name = token->text;
    if (str_equal_c(name, "true") || str_equal_c(name, "True"))
        return constant(p, token->line, jinja_bool(true));
    if (str_equal_c(name, "false") || str_equal_c(name, "False"))
        return constant(p, token->line, jinja_bool(false));
    if (str_equal_c(name, "none") || str_equal_c(name, "None"))
        return constant(p, token->line, JINJA_NONE_VALUE);
    struct jinja_node *node = jinja_node_new(p, NODE_NAME, token->line);
    if (!node) return NULL;
    node->name = name;
    if (allow_namespace && jinja_at_operator(p, OP_DOT)) {
        p->at++;
        if (p->at->type != TOKEN_NAME)
            return jinja_parser_fail(p, line(p), "expected an attribute's name behind \"%.*s.\"",
                                     STR_ARGS(name));
        node->kind = NODE_NAMESPACE_TARGET;
        node->constant = jinja_string(p->at->text);
        p->at++;
    }
    return node;
}

static struct jinja_node *parse_primary(struct jinja_parser *p, bool allow_namespace)
{
    const struct jinja_token *token = p->at;
    switch (token->type) {
    case TOKEN_NAME:
        return parse_name(p, allow_namespace);
    case TOKEN_STRING:
        return parse_strings(p);
    case TOKEN_INTEGER:
        p->at++;
        return constant(p, token->line, jinja_int(token->integer));
    case TOKEN_FLOAT:
        p->at++;
        return constant(p, token->line, jinja_float(token->real));
    case TOKEN_OPERATOR:
        if (token->op == OP_LPAREN) {
            p->at++;
            struct jinja_node *inner = jinja_parse_tuple(p, TUPLE_PARENTHESES, false, NULL);
            return inner && jinja_expect_operator(p, OP_RPAREN) ? inner : NULL;
        }
        if (token->op == OP_LBRACKET) return parse_items(p, NODE_LIST, OP_RBRACKET);
        if (token->op == OP_LBRACE) return parse_items(p, NODE_DICT, OP_RBRACE);
        break;
    default:
        break;
    }
    char what[80];
    return jinja_parser_fail(p, token->line, "expected an expression, got %s",
                             jinja_token_describe(token, what, sizeof what));
}

static bool at_tuple_end(const struct jinja_parser *p, const char *stop)
{
    return p->at->type == TOKEN_VARIABLE_END || p->at->type == TOKEN_BLOCK_END ||
           jinja_at_operator(p, OP_RPAREN) || (stop && jinja_at_name(p, stop));
}

static struct jinja_node *tuple_item(struct jinja_parser *p, enum jinja_tuple_mode mode,
                                     bool allow_namespace)
{
    if (mode == TUPLE_TARGET) return parse_primary(p, allow_namespace);
    if (mode != TUPLE_NO_CONDITION) return jinja_parse_expression(p);
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *node = parse_or(p);
    jinja_parser_leave(p);
    return node;
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, enum jinja_tuple_mode mode,
                                     bool allow_namespace, const char *stop)
{
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *node = jinja_node_new(p, NODE_TUPLE, line(p));
    if (!node) return NULL;
    struct jinja_nodes items = {0};
    bool is_tuple = false;
    for (;;) {
        if (items.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        if (at_tuple_end(p, stop)) break;
        struct jinja_node *item = tuple_item(p, mode, allow_namespace);
        if (!item || !jinja_nodes_push(p, &items, item)) return NULL;
        if (!jinja_at_operator(p, OP_COMMA)) break;
        is_tuple = true;
    }
    jinja_parser_leave(p);
    if (!is_tuple && items.n) return items.items[0];
    if (!is_tuple && mode != TUPLE_PARENTHESES) {
        char what[80];
        return jinja_parser_fail(p, line(p), "expected an expression, got %s",
                                 jinja_token_describe(p->at, what, sizeof what));
    }
    for (uint32_t i = 0; i < items.n; i++)
        if (!jinja_node_adopt(p, node, items.items[i])) return NULL;
    node->items = items.items;
    node->n_items = items.n;
    return node;
}

/* ---- what follows a primary ------------------------------------------------------------------ */

static bool at_slice_part(const struct jinja_parser *p)
{
    return !jinja_at_operator(p, OP_COLON) && !jinja_at_operator(p, OP_RBRACKET) &&
           !jinja_at_operator(p, OP_COMMA);
}

static struct jinja_node *parse_subscript(struct jinja_parser *p)
{
    int start = line(p);
    struct jinja_node *first = NULL;
    if (!jinja_at_operator(p, OP_COLON)) {
        first = jinja_parse_expression(p);
        if (!first || !jinja_at_operator(p, OP_COLON)) return first;
    }
    struct jinja_node *node = jinja_node_new(p, NODE_SLICE, start);
    if (!node) return NULL;
    node->a = first;
    if (first && !jinja_node_adopt(p, node, first)) return NULL;
    p->at++;
    if (at_slice_part(p)) {
        node->b = jinja_parse_expression(p);
        if (!node->b || !jinja_node_adopt(p, node, node->b)) return NULL;
    }
    if (jinja_skip_operator(p, OP_COLON) && at_slice_part(p)) {
        node->c = jinja_parse_expression(p);
        if (!node->c || !jinja_node_adopt(p, node, node->c)) return NULL;
    }
    return node;
}

static struct jinja_node *parse_member(struct jinja_parser *p, struct jinja_node *subject)
{
    int start = line(p);
    struct jinja_node *node = jinja_node_new(p, NODE_ITEM, start);
    if (!node || !jinja_node_adopt(p, node, subject)) return NULL;
    node->a = subject;
    if (jinja_skip_operator(p, OP_DOT)) {
        const struct jinja_token *token = p->at++;
        if (token->type == TOKEN_NAME) {
            node->kind = NODE_ATTRIBUTE;
            node->name = token->text;
            return node;
        }
        if (token->type != TOKEN_INTEGER) {
            p->at--;
            return jinja_parser_fail(p, token->line, "expected a name or number behind \".\"");
        }
        node->b = constant(p, token->line, jinja_int(token->integer));
        return node->b ? node : NULL;
    }
    p->at++; /* [ */
    struct jinja_nodes items = {0};
    while (!jinja_at_operator(p, OP_RBRACKET)) {
        if (items.n && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        struct jinja_node *item = parse_subscript(p);
        if (!item || !jinja_node_adopt(p, node, item) || !jinja_nodes_push(p, &items, item))
            return NULL;
        if (items.n > 1 && (item->kind == NODE_SLICE || items.items[0]->kind == NODE_SLICE))
            return jinja_parser_fail(p, start, "a slice cannot be part of a tuple index");
    }
    p->at++;
    if (items.n == 1) {
        node->b = items.items[0];
        return node;
    }
    node->b = jinja_node_new(p, NODE_TUPLE, start);
    if (!node->b) return NULL;
    node->b->items = items.items;
    node->b->n_items = items.n;
    for (uint32_t i = 0; i < items.n; i++)
        if (!jinja_node_adopt(p, node->b, items.items[i])) return NULL;
    return jinja_node_adopt(p, node, node->b) ? node : NULL;
}

/* One argument of a call at "("...; adds it to the lists. */
static bool parse_argument(struct jinja_parser *p, struct jinja_node *owner,
                           struct jinja_arguments_node *out, struct jinja_nodes *positional,
                           struct jinja_nodes *keyword, struct jinja_nodes *names)
{
    int start = line(p);
    struct jinja_node *value;
    bool ok;
    if (jinja_skip_operator(p, OP_MUL)) {
        ok = !out->extra_positional && !out->extra_keyword;
        value = out->extra_positional = ok ? jinja_parse_expression(p) : NULL;
    } else if (jinja_skip_operator(p, OP_POW)) {
        ok = !out->extra_keyword;
        value = out->extra_keyword = ok ? jinja_parse_expression(p) : NULL;
    } else if (p->at->type == TOKEN_NAME && p->at[1].type == TOKEN_OPERATOR &&
               p->at[1].op == OP_ASSIGN) {
        struct jinja_node *name = jinja_node_new(p, NODE_CONST, start);
        if (!name) return false;
        name->name = p->at->text;
        for (uint32_t i = 0; i < names->n; i++)
            if (str_equal(names->items[i]->name, name->name))
                return jinja_parser_fail(p, start, "the argument \"%.*s\" is given twice",
                                         STR_ARGS(name->name)) != NULL;
        p->at += 2;
        ok = !out->extra_keyword;
        value = ok ? jinja_parse_expression(p) : NULL;
        if (value && (!jinja_nodes_push(p, keyword, value) || !jinja_nodes_push(p, names, name)))
            return false;
    } else {
        ok = !out->extra_positional && !out->extra_keyword && keyword->n == 0;
        value = ok ? jinja_parse_expression(p) : NULL;
        if (value && !jinja_nodes_push(p, positional, value)) return false;
    }
    if (!ok) jinja_parser_fail(p, start, "the arguments of a call stand in a wrong order");
    return value && jinja_node_adopt(p, owner, value);
}

static struct jinja_arguments_node *parse_arguments(struct jinja_parser *p,
                                                    struct jinja_node *owner)
{
    struct jinja_arguments_node *out = ARENA_NEW(p->arena, struct jinja_arguments_node);
    if (!out) return jinja_parser_no_memory(p);
    struct jinja_nodes positional = {0}, keyword = {0}, names = {0};
    p->at++; /* ( */
    bool first = true;
    while (!jinja_at_operator(p, OP_RPAREN)) {
        if (!first && !jinja_expect_operator(p, OP_COMMA)) return NULL;
        if (!first && jinja_at_operator(p, OP_RPAREN)) break;
        first = false;
        if (!parse_argument(p, owner, out, &positional, &keyword, &names)) return NULL;
    }
    p->at++;
    out->positional = positional.items;
    out->n_positional = positional.n;
    out->keyword = keyword.items;
    out->n_keyword = keyword.n;
    if (keyword.n) {
        out->names = ARENA_ARRAY(p->arena, struct str, keyword.n);
        if (!out->names) return jinja_parser_no_memory(p);
        for (uint32_t i = 0; i < keyword.n; i++) out->names[i] = names.items[i]->name;
    }
    return out;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *callee)
{
    struct jinja_node *node = jinja_node_new(p, NODE_CALL, line(p));
    if (!node || !jinja_node_adopt(p, node, callee)) return NULL;
    node->a = callee;
    node->arguments = parse_arguments(p, node);
    return node->arguments ? node : NULL;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node)
{
    while (node) {
        if (jinja_at_operator(p, OP_DOT) || jinja_at_operator(p, OP_LBRACKET))
            node = parse_member(p, node);
        else if (jinja_at_operator(p, OP_LPAREN))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* "name" or "name.name" of a filter or test. */
static bool parse_dotted(struct jinja_parser *p, struct str *out)
{
    char what[80];
    if (p->at->type != TOKEN_NAME)
        return jinja_parser_fail(p, line(p), "expected a name, got %s",
                                 jinja_token_describe(p->at, what, sizeof what)) != NULL;
    *out = p->at++->text;
    while (jinja_at_operator(p, OP_DOT)) {
        p->at++;
        if (p->at->type != TOKEN_NAME)
            return jinja_parser_fail(p, line(p), "expected a name behind \".\"") != NULL;
        char *joined = arena_alloc_aligned(p->arena, out->size + p->at->text.size + 1, 1);
        if (!joined) return jinja_parser_no_memory(p) != NULL;
        memcpy(joined, out->data, out->size);
        joined[out->size] = '.';
        memcpy(joined + out->size + 1, p->at->text.data, p->at->text.size);
        *out = (struct str){joined, out->size + 1 + p->at->text.size};
        p->at++;
    }
    return true;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *subject,
                                       bool starts_with_name)
{
    while (starts_with_name || jinja_at_operator(p, OP_PIPE)) {
        if (!starts_with_name) p->at++;
        starts_with_name = false;
        struct jinja_node *node = jinja_node_new(p, NODE_FILTER, line(p));
        if (!node || !parse_dotted(p, &node->name)) return NULL;
        node->a = subject;
        if (subject && !jinja_node_adopt(p, node, subject)) return NULL;
        if (jinja_at_operator(p, OP_LPAREN)) {
            node->arguments = parse_arguments(p, node);
            if (!node->arguments) return NULL;
        }
        subject = node;
    }
    return subject;
}

/* Behind "is" [not] name: an argument without parentheses may follow. */
static bool at_test_argument(const struct jinja_parser *p)
{
    switch (p->at->type) {
    case TOKEN_NAME:
        return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
    case TOKEN_STRING:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        return true;
    default:
        return jinja_at_operator(p, OP_LBRACKET) || jinja_at_operator(p, OP_LBRACE);
    }
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *subject)
{
    struct jinja_node *node = jinja_node_new(p, NODE_TEST, line(p));
    if (!node || !jinja_node_adopt(p, node, subject)) return NULL;
    p->at++; /* is */
    node->a = subject;
    node->flag = jinja_skip_name(p, "not");
    if (!parse_dotted(p, &node->name)) return NULL;
    if (jinja_at_operator(p, OP_LPAREN)) {
        node->arguments = parse_arguments(p, node);
        return node->arguments ? node : NULL;
    }
    if (!at_test_argument(p)) return node;
    if (jinja_at_name(p, "is"))
        return jinja_parser_fail(p, line(p), "tests cannot be chained with \"is\"");
    if (!jinja_parser_enter(p)) return NULL;
    struct jinja_node *argument = parse_primary(p, false);
    argument = argument ? parse_postfix(p, argument) : NULL;
    jinja_parser_leave(p);
    struct jinja_nodes positional = {0};
    if (!argument || !jinja_node_adopt(p, node, argument) ||
        !jinja_nodes_push(p, &positional, argument))
        return NULL;
    node->arguments = ARENA_NEW(p->arena, struct jinja_arguments_node);
    if (!node->arguments) return jinja_parser_no_memory(p);
    node->arguments->positional = positional.items;
    node->arguments->n_positional = 1;
    return node;
}

static struct jinja_node *parse_filter_suffixes(struct jinja_parser *p, struct jinja_node *node)
{
    while (node) {
        if (jinja_at_operator(p, OP_PIPE))
            node = jinja_parse_filters(p, node, false);
        else if (jinja_at_name(p, "is"))
            node = parse_test(p, node);
        else if (jinja_at_operator(p, OP_LPAREN))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters)
{
    struct jinja_node *node;
    bool is_minus = jinja_at_operator(p, OP_SUB);
    if (is_minus || jinja_at_operator(p, OP_ADD)) {
        node = jinja_node_new(p, is_minus ? NODE_NEGATE : NODE_PLUS, line(p));
        p->at++;
        if (!node || !jinja_parser_enter(p)) return NULL;
        node->a = parse_unary(p, false);
        jinja_parser_leave(p);
        if (!node->a || !jinja_node_adopt(p, node, node->a)) return NULL;
    } else {
        node = parse_primary(p, false);
    }
    node = node ? parse_postfix(p, node) : NULL;
    return node && with_filters ? parse_filter_suffixes(p, node) : node;
}
