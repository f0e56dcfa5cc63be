/* A model that transformers downloaded is found by its name, and a name never leaves the cache. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "hub/hub_cache.h"
#include "hub/hub_name.h"

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
    CHECK(strstr(err.text, root) && strstr(err.text, "twllm pull org/Absent"));
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

TEST(names_have_quantisation_and_revision)
{
    struct hub_name name;
    CHECK(hub_name_parse(STR("hf:org/Model-GGUF:Q4_K_M@v1.0"), &name));
    CHECK_STR(name.id, "org/Model-GGUF");
    CHECK_STR(name.quant, "Q4_K_M");
    CHECK_STR(name.revision, "v1.0");
    CHECK(hub_name_parse(STR("gpt2"), &name));
    CHECK_STR(name.revision, "main");
    CHECK_INT(name.quant.size, 0);
    static const char *const bad[] = {"",      "hf:",  "a/b:",  "a/b:x/y", "a/b@",   "a/b@../c",
                                      "a/b/c", "../b", "a/..",  "a--b/c",  "a/b:Q@", ":Q",
                                      "a b",   "/a",   "hf:/a", "a/b@/",   "a/.b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_name_parse(str_of(bad[i]), &name)) check_fail(__FILE__, __LINE__, "%s", bad[i]);
}

static size_t choose(const char *const *texts, size_t n, const char *quant, bool *chosen)
{
    struct str paths[16];
    for (size_t i = 0; i < n; i++) paths[i] = str_of(texts[i]);
    return hub_gguf_choose(paths, n, str_of(quant), chosen);
}

TEST(a_quantisation_is_a_word_of_the_name)
{
    static const char *const files[] = {"m-Q4_K_S.gguf",
                                        "m-IQ4_XS.gguf",
                                        "m.q4_k_m.gguf",
                                        "Q8_0/m-00001-of-00002.gguf",
                                        "Q8_0/m-00002-of-00002.gguf",
                                        "mmproj-Q8_0.gguf",
                                        "m-Q4_K_M.txt"};
    bool chosen[7];
    CHECK_INT(choose(files, 7, "q4_k_m", chosen), 1);
    CHECK(chosen[2]);
    CHECK_INT(choose(files, 7, "Q8_0", chosen), 2);
    CHECK(chosen[3] && chosen[4]);
    CHECK_INT(choose(files, 7, "Q4_K", chosen), 0); /* not the beginning of another */
    CHECK_INT(choose(files, 7, "Q4_XS", chosen), 0);
    CHECK_INT(choose(files, 7, "", chosen), 1);
    CHECK(chosen[2]);
    static const char *const others[] = {"README.md", "b-00001-of-00002.gguf",
                                         "b-00002-of-00002.gguf", "c.gguf"};
    CHECK_INT(choose(others, 4, "", chosen), 2);
    CHECK(chosen[1] && chosen[2]);
}

TEST(paths_stay_below_their_folder)
{
    CHECK(hub_path_is_safe(STR("a")) && hub_path_is_safe(STR("a/b..c/.d")));
    static const char *const bad[] = {"",   "/",      "/a",  "a/",   "a//b", ".",
                                      "..", "a/../b", "a/.", "a\\b", "a\nb", "a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!hub_path_is_safe(str_of(bad[i])));
}
