#include "serve/openapi.h"

#include <ctype.h>
#include <stdio.h>

static void write_error_response(struct out *o, const char *code, const char *text)
{
    out_key_open(o, code, '{');
    out_key_text(o, "description", text);
    out_key(o, "content");
    out_raw(o, STR("{\"application/json\":{\"schema\":{\"type\":\"object\"}}}"));
    out_close(o, '}');
}

static void write_responses(struct out *o, const struct endpoint *e)
{
    out_key_open(o, "responses", '{');
    out_key_open(o, "200", '{');
    out_key_text(o, "description", "the answer");
    if (!e->is_empty) {
        out_key_open(o, "content", '{');
        out_key(o, "application/json");
        out_raw(o, STR("{}"));
    }
    if (e->streams) {
        out_key(o, "text/event-stream");
        out_raw(o, STR("{}"));
        out_key(o, "application/x-ndjson");
        out_raw(o, STR("{}"));
    }
    if (!e->is_empty) out_close(o, '}');
    out_close(o, '}');
    if (!e->is_public) write_error_response(o, "401", "a key is missing or wrong");
    if (e->fields) {
        write_error_response(o, "400", "the request is not acceptable; `param` names the field");
        if (e->dialect->refusal_code)
            write_error_response(o, "422",
                                 "the request is not acceptable; the text names the field");
        write_error_response(o, "413", "the body is too large");
        write_error_response(o, "415", "the body is not JSON");
    }
    if (e->fields || strchr(e->path, '*')) write_error_response(o, "404", "no such model");
    if (e->work) {
        write_error_response(o, "429", "too many requests; Retry-After says when to come again");
        write_error_response(o, "503", "the server is stopping, or has no memory");
    }
    out_close(o, '}');
}

static void write_operation(struct out *o, const struct endpoint *e)
{
    char method[8], id[80];
    size_t n = 0;
    for (; e->method[n] && n + 1 < sizeof method; n++)
        method[n] = (char)tolower((unsigned char)e->method[n]);
    method[n] = '\0';
    snprintf(id, sizeof id, "%s%s", method, e->path);
    for (char *c = id; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    out_key_open(o, method, '{');
    out_key_text(o, "operationId", id);
    out_key_text(o, "summary", e->summary);
    if (strchr(e->path, '*')) {
        out_key(o, "parameters");
        out_raw(o, STR("[{\"name\":\"model\",\"in\":\"path\",\"required\":true,\"schema\":{"
                       "\"type\":\"string\",\"minLength\":1}}]"));
    }
    if (e->fields) {
        out_key_open(o, "requestBody", '{');
        out_key_bool(o, "required", true);
        out_key_open(o, "content", '{');
        out_key_open(o, "application/json", '{');
        out_key(o, "schema");
        fields_write_schema(o, e->fields);
        out_close(o, '}');
        out_close(o, '}');
        out_close(o, '}');
    }
    write_responses(o, e);
    if (e->is_public) {
        out_key(o, "security");
        out_raw(o, STR("[]"));
    }
    out_close(o, '}');
}

/* Endpoints of one path stand together; the first of them writes it. */
static bool is_first_of_path(const struct endpoint *wanted)
{
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++)
            if (!strcmp(e->path, wanted->path)) return e == wanted;
    return false;
}

static void write_path(struct out *o, const struct endpoint *first)
{
    char path[96];
    size_t n = strlen(first->path);
    bool any = first->path[n - 1] == '*';
    snprintf(path, sizeof path, "%.*s%s", (int)(any ? n - 1 : n), first->path,
             any ? "{model}" : "");
    out_key_open(o, path, '{');
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++)
            if (!strcmp(e->path, first->path)) write_operation(o, e);
    out_close(o, '}');
}

status openapi_write(const struct serve *serve, struct strbuf *to, struct error *err)
{
    struct out o = out_begin(to);
    (void)serve;
    out_open(&o, '{');
    out_key_text(&o, "openapi", "3.1.0");
    out_key_open(&o, "info", '{');
    out_key_text(&o, "title", "twllm");
    out_key_text(&o, "version", twllm_version());
    out_close(&o, '}');
    out_key(&o, "security");
    out_raw(&o, STR("[{\"key\":[]},{}]"));
    out_key(&o, "components");
    out_raw(&o, STR("{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}}}"));
    out_key_open(&o, "paths", '{');
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++)
            if (is_first_of_path(e)) write_path(&o, e);
    out_close(&o, '}');
    out_close(&o, '}');
    if (o.result == STATUS_OK) return STATUS_OK;
    return error_set(err, o.result, "the OpenAPI document could not be written");
}
