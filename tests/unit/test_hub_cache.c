/* A model that transformers downloaded is found by its name, and a name never leaves the cache. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "hub/hub_cache.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char root[64];

static void make(const char *relative, const char *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, relative);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    if (content) {
        struct error err;
        CHECK_OK(file_write_atomic(path, str_of(content), &err), err);
    }
}

static void make_cache(void)
{
    snprintf(root, sizeof root, "/tmp/twllm-hub-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    make("hub/models--org--Some-Model.8B/refs/main", COMMIT "\n");
    make("hub/models--org--Some-Model.8B/refs/refs/pr/1", COMMIT);
    make("hub/models--org--Some-Model.8B/snapshots/" COMMIT "/config.json", "{}");
    make("hub/models--gpt2/refs/main", "../../../../etc");
    make("hub/models--gpt2/snapshots/x/config.json", "{}");
}

static status resolve(const char *name, struct strbuf *out, struct error *err)
{
    struct hub_cache_options options = {.hf_home = root};
    return hub_cache_resolve(&options, name, out, err);
}

TEST(hub_names_resolve_to_their_snapshot)
{
    make_cache();
    struct strbuf out = {0};
    struct error err;
    static const char *const names[] = {"org/Some-Model.8B", "org/Some-Model.8B@main",
                                        "org/Some-Model.8B@refs/pr/1",
                                        ("org/Some-Model.8B@" COMMIT)};
    char expected[256];
    snprintf(expected, sizeof expected, "%s/hub/models--org--Some-Model.8B/snapshots/" COMMIT,
             root);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_OK(resolve(names[i], &out, &err), err);
        CHECK_STR(strbuf_view(&out), expected);
    }
    CHECK_OK(resolve(root, &out, &err), err); /* an existing folder is itself */
    CHECK_STR(strbuf_view(&out), root);
    strbuf_deinit(&out);
}

TEST(hub_misses_say_where_and_how)
{
    make_cache();
    struct strbuf out = {0};
    struct error err;
    CHECK_INT(resolve("org/Absent", &out, &err), STATUS_NOT_FOUND);
    CHECK(strstr(err.text, root) && strstr(err.text, "hf download org/Absent"));
    CHECK(strstr(err.text, "org/Some-Model.8B"));
    CHECK_INT(resolve("org/Some-Model.8B@other", &out, &err), STATUS_NOT_FOUND);
    CHECK_INT(resolve("gpt2", &out, &err), STATUS_FORMAT); /* a ref that is no commit */
    strbuf_deinit(&out);
}

TEST(hub_hostile_names_are_refused)
{
    make_cache();
    struct strbuf out = {0};
    struct error err;
    static const char *const names[] = {"",        "org/..",     "../x",       "org/../x",
                                        "a/b/c",   "org/.x",     "org/x@..",   "org/x@a/../b",
                                        "org/x@/", "org/x@a//b", "a--b/c",     "org/x y",
                                        "org/",    "/etc/none",  "org/x@main@"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_INT(resolve(names[i], &out, &err), STATUS_NOT_FOUND);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    CHECK_INT(resolve(longest, &out, &err), STATUS_NOT_FOUND);
    strbuf_deinit(&out);
}
