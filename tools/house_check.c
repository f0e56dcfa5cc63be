/* house_check: the rules of the house, as a test. Run from the root of the repository.
 *
 *   house_check                     floors, banned calls, layout of every source file
 *   house_check --headers CC FLAG.. every header compiles alone
 *
 * Rules, with the reason of each:
 *   floors        a file of src/ includes only its own folder or a lower floor: no cycles, ever
 *   calls         some C functions have no safe use; others belong to one folder (printing,
 * exiting, the environment to cmd/, files to the folders that own bytes) layout        no tabs, no
 * trailing blanks, a newline at the end, no forgotten markers size          more than 800 lines is
 * a warning: which second subject moved in? */
#define _GNU_SOURCE
#include <ctype.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *folder;
    int floor;
} floors[] = {{"base", 0},     {"device", 1}, {"tensor", 2},     {"comm", 2},  {"data", 3},
              {"op", 3},       {"net", 3},    {"hub", 4},        {"text", 4},  {"model", 4},
              {"grammar", 5},  {"engine", 6}, {"checkpoint", 5}, {"api", 7},   {"train", 6},
              {"retrieve", 7}, {"eval", 7},   {"serve", 8},      {"arena", 9}, {"cmd", 10}};

/* `only`: the folders of src/ that may call it, "" for none; files outside src/ are free to. A call
 * that is `everywhere` wrong has no business in tests or tools either. */
static const struct {
    const char *name, *only, *instead;
    bool everywhere;
} calls[] = {
    {"strcpy", "", "str_* of base/str.h", true},
    {"strcat", "", "str_* of base/str.h", true},
    {"stpcpy", "", "str_* of base/str.h", true},
    {"sprintf", "", "snprintf", true},
    {"vsprintf", "", "vsnprintf", true},
    {"gets", "", "getline", true},
    {"atoi", "", "strtol and a check of its end", true},
    {"atol", "", "strtol and a check of its end", true},
    {"atoll", "", "strtoll and a check of its end", true},
    {"atof", "", "strtod and a check of its end", true},
    {"strtok", "", "strtok_r, or a slice of base/str.h", true},
    {"rand", "", "rng_* of base/rng.h, with a seed", true},
    {"srand", "", "rng_* of base/rng.h, with a seed", true},
    {"alloca", "", "an arena", true},
    {"tmpnam", "", "mkstemp", true},
    {"mktemp", "", "mkstemp", true},
    {"localtime", "", "localtime_r", true},
    {"gmtime", "", "gmtime_r", true},
    {"getenv", "cmd", "an option that cmd/ fills in", false},
    {"setenv", "cmd", "an option that cmd/ fills in", false},
    {"setlocale", "cmd", "the locale is the program's, not the library's", false},
    {"printf", "cmd", "return it; only cmd/ prints", false},
    {"vprintf", "cmd", "return it; only cmd/ prints", false},
    {"puts", "cmd", "return it; only cmd/ prints", false},
    {"putchar", "cmd", "return it; only cmd/ prints", false},
    {"stdout", "cmd", "return it; only cmd/ prints", false},
    {"exit", "cmd", "return a status", false},
    {"_exit", "cmd", "return a status", false},
    {"abort", "cmd", "return a status", false},
    {"system", "cmd", "nothing: the library starts no programs", false},
    {"popen", "cmd", "nothing: the library starts no programs", false},
    {"fopen", "base data hub retrieve serve cmd", "file_* of base/file.h", false},
    {"open", "base data hub retrieve serve cmd", "file_* of base/file.h", false},
    {"mmap", "base device data hub", "file_* of base/file.h", false},
    {"socket", "retrieve serve hub comm", "nothing: sockets have an owner", false},
};

enum { MAX_LINES = 800, MAX_PATHS = 4096, MAX_HEADERS = 1024 };
static int n_problems, n_warnings, n_files, n_headers;
static char *headers[MAX_HEADERS];

#define PROBLEM(path, line, ...)                                                                   \
    (fprintf(stderr, "%s:%d: ", path, line), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr),    \
     n_problems++)

static int floor_of(const char *path) /* "base/str.h" -> 0; -1 for an unknown folder */
{
    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
        size_t n = strlen(floors[i].folder);
        if (!strncmp(path, floors[i].folder, n) && path[n] == '/') return floors[i].floor;
    }
    return -1;
}

static bool same_folder(const char *a, const char *b)
{
    size_t n = strcspn(a, "/");
    return n == strcspn(b, "/") && !strncmp(a, b, n);
}

/* Is the folder of `path` one of the words? */
static bool in_words(const char *words, const char *path)
{
    size_t n = strcspn(path, "/");
    for (const char *word = words; *word; word += strspn(word, " ")) {
        size_t n_word = strcspn(word, " ");
        if (n_word == n && !strncmp(word, path, n)) return true;
        word += n_word;
    }
    return false;
}

static void check_include(const char *path, int line, const char *text)
{
    char name[256];
    if (sscanf(text, " # include \"%255[^\"]\"", name) != 1) return;
    if (strlen(name) > 2 && !strcmp(name + strlen(name) - 2, ".c"))
        PROBLEM(path, line, "includes \"%s\": a source file is compiled, not included", name);
    if (!strncmp(path, "examples/", 9) && strcmp(name, "twllm.h"))
        PROBLEM(path, line, "includes \"%s\": an example sees the public header only", name);
    if (strncmp(path, "src/", 4)) return;
    const char *own = path + 4;
    int from = floor_of(own), to = !strcmp(name, "twllm.h") ? floor_of("api/") : floor_of(name);
    if (to < 0) {
        PROBLEM(path, line, "includes \"%s\": write it as \"folder/file.h\", from src/", name);
    } else if (!same_folder(own, name) && to >= from && strcmp(name, "twllm.h")) {
        PROBLEM(path, line, "includes \"%s\" (floor %d) from floor %d: only lower floors", name, to,
                from);
    } else if (to > from) {
        PROBLEM(path, line, "includes \"%s\" (floor %d) from floor %d: only lower floors", name, to,
                from);
    }
}

/* Blanks out comments, strings and character constants, so that only code is searched for calls. */
static void keep_code(char *text)
{
    enum { CODE, LINE, BLOCK, STRING, CHARACTER } state = CODE;
    for (char *c = text; *c; c++) {
        bool ends = false;
        if (state == CODE && c[0] == '/' && (c[1] == '/' || c[1] == '*')) {
            state = c[1] == '/' ? LINE : BLOCK;
            c[0] = c[1] = ' ';
            c++;
            continue;
        }
        if (state == CODE) {
            state = *c == '"' ? STRING : *c == '\'' ? CHARACTER : CODE;
            continue;
        }
        if (state == LINE) ends = *c == '\n';
        if (state == BLOCK && c[0] == '*' && c[1] == '/') *c++ = ' ', ends = true;
        if (state >= STRING && c[0] == '\\' && c[1])
            *c++ = ' ';
        else if (state >= STRING)
            ends = *c == (state == STRING ? '"' : '\'') || *c == '\n';
        if (ends) state = CODE;
        if (*c != '\n') *c = ' ';
    }
}

static void check_calls(const char *path, const char *code)
{
    bool in_src = !strncmp(path, "src/", 4);
    int line = 1;
    for (const char *c = code; *c; c++) {
        if (*c == '\n') line++;
        bool starts = (isalpha((unsigned char)*c) || *c == '_') &&
                      (c == code || !(isalnum((unsigned char)c[-1]) || c[-1] == '_'));
        if (!starts) continue;
        size_t n = strspn(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
        bool member = c > code && (c[-1] == '.' || (c[-1] == '>' && c - 1 > code && c[-2] == '-'));
        const char *next = c + n + strspn(c + n, " ");
        for (size_t i = 0; i < sizeof calls / sizeof *calls && !member; i++) {
            if (strlen(calls[i].name) != n || strncmp(c, calls[i].name, n)) continue;
            if (*next != '(' && strcmp(calls[i].name, "stdout")) continue;
            if (!calls[i].everywhere && (!in_src || in_words(calls[i].only, path + 4))) continue;
            PROBLEM(path, line, "%s: use %s", calls[i].name, calls[i].instead);
        }
        c += n - 1;
    }
}

static void check_lines(const char *path, char *text, size_t size)
{
    int line = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = '\0';
        line++;
        if (strchr(at, '\t')) PROBLEM(path, line, "a tab; indent with spaces");
        if (end > at && (end[-1] == ' ' || end[-1] == '\r'))
            PROBLEM(path, line, "a blank at the end");
        if (strstr(at, "FIX"
                       "ME") ||
            strstr(at, "XX"
                       "X:") ||
            strstr(at, "TO"
                       "DO"))
            PROBLEM(path, line, "a forgotten marker: do it, or file it");
        if (strchr(at, '#')) check_include(path, line, at);
        *end = '\n';
    }
    if (size && text[size - 1] != '\n') PROBLEM(path, line, "no newline at the end");
    if (line > MAX_LINES && !strstr(path, "_table")) {
        fprintf(stderr, "%s: warning: %d lines, which second subject moved in?\n", path, line);
        n_warnings++;
    }
}

static int check_file(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)where;
    const char *dot = strrchr(path, '.');
    bool header = dot && (!strcmp(dot, ".h") || !strcmp(dot, ".cuh"));
    if (kind != FTW_F || !dot ||
        !(header || !strcmp(dot, ".c") || !strcmp(dot, ".cu") || !strcmp(dot, ".inc")))
        return 0;
    n_files++;
    if (header && !strcmp(dot, ".h") && strncmp(path, "tests/", 6) && n_headers < MAX_HEADERS)
        headers[n_headers++] = strdup(path);
    size_t size = (size_t)info->st_size;
    char *text = malloc(size + 1);
    FILE *file = fopen(path, "rb");
    if (!text || !file || fread(text, 1, size, file) != size) {
        PROBLEM(path, 0, "cannot be read");
    } else if (memchr(text, '\0', size)) {
        PROBLEM(path, 0, "has a zero byte");
    } else {
        text[size] = '\0';
        check_lines(path, text, size);
        keep_code(text);
        check_calls(path, text);
    }
    if (!strncmp(path, "src/", 4) && floor_of(path + 4) < 0)
        PROBLEM(path, 0, "stands on no floor: add its folder to the table in tools/house_check.c");
    if (file) fclose(file);
    free(text);
    return 0;
}

/* Compiles each header by itself. Files that are pieces of others end in .inc, not .h. */
static void check_headers(int n_words, char **words)
{
    static char syntax_only[] = "-fsyntax-only", language[] = "-xc";
    char *arguments[64];
    for (int i = 0; i < n_headers; i++) {
        int n = 0;
        for (; n < n_words && n < 56; n++) arguments[n] = words[n];
        arguments[n++] = syntax_only;
        arguments[n++] = language;
        arguments[n++] = headers[i];
        arguments[n] = NULL;
        pid_t child = fork();
        if (child == 0) {
            execvp(arguments[0], arguments);
            _exit(127);
        }
        int result = -1;
        if (child < 0 || waitpid(child, &result, 0) != child || result != 0)
            PROBLEM(headers[i], 0, "does not compile alone");
    }
}

int main(int argc, char **argv)
{
    static const char *const roots[] = {"src", "include", "tests", "bench", "tools", "examples"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (!access(roots[i], F_OK)) nftw(roots[i], check_file, 16, FTW_PHYS);
    if (argc > 2 && !strcmp(argv[1], "--headers")) {
        n_problems = 0;
        check_headers(argc - 2, argv + 2);
        fprintf(stderr, "%d headers compiled alone, %d problems\n", n_headers, n_problems);
    } else {
        fprintf(stderr, "%d files, %d problems, %d warnings\n", n_files, n_problems, n_warnings);
    }
    if (n_files == 0) fputs("run me from the root of the repository\n", stderr);
    return n_problems > 0 || n_files == 0;
}
