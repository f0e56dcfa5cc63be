#include "serve/page_assets.h"

/* TWLLM_PAGE_LIST is web/dist/assets.inc, a list made with the files it names, of
 *     PAGE_ASSET(name, path, content type, file, bytes, bytes of its gzip twin, hash)
 *     PAGE_HEADER(name, value)
 * The assembler copies the files as they stand; nothing is generated or parsed when the program is built. */
#define EMBED(symbol, file, size)                                                                  \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 64\n" #symbol ":\n"                                                           \
            ".incbin \"" TWLLM_PAGE_DIR "/" file "\", 0, " #size "\n"                              \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char symbol[] __attribute__((visibility("hidden")))

#define PAGE_HEADER(name, value)
#define PAGE_ASSET(name, path, type, file, size, gzip_size, hash)                                  \
    EMBED(page_##name, file, size);                                                                \
    EMBED(page_##name##_gzip, file ".gz", gzip_size);
#include TWLLM_PAGE_LIST
#undef PAGE_HEADER
#undef PAGE_ASSET

static const struct http_field headers[] = {
#define PAGE_HEADER(name, value) {name, {value, sizeof(value) - 1}},
#define PAGE_ASSET(name, path, type, file, size, gzip_size, hash)
#include TWLLM_PAGE_LIST
#undef PAGE_HEADER
#undef PAGE_ASSET
    {NULL, {NULL, 0}},
};

static const struct http_asset assets[] = {
#define PAGE_HEADER(name, value)
#define PAGE_ASSET(name, path, type, file, size, gzip_size, hash)                                  \
    {path, type, {page_##name, size}, {page_##name##_gzip, gzip_size}, "\"" hash "\"", headers},
#include TWLLM_PAGE_LIST
#undef PAGE_HEADER
#undef PAGE_ASSET
};

const struct http_asset *page_assets(size_t *count)
{
    *count = sizeof assets / sizeof *assets;
    return assets;
}
