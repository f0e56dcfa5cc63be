/* The embedded chat page: the files are whole, the gzip twins are theirs, and the headers say what they must. */
#include "serve/page_assets.h"

#include "check.h"

static const struct http_asset *find(const char *path)
{
    size_t count;
    const struct http_asset *assets = page_assets(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(assets[i].path, path)) return &assets[i];
    return NULL;
}

static struct str field(const struct http_asset *asset, const char *name)
{
    for (const struct http_field *f = asset->fields; f && f->name; f++)
        if (!strcmp(f->name, name)) return f->value;
    return (struct str){NULL, 0};
}

static bool has(struct str text, const char *piece) { return str_find(text, str_of(piece)) >= 0; }

static uint32_t crc32_of(struct str bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t little_endian(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

TEST(every_file_is_whole_and_its_gzip_twin_is_its_own)
{
    size_t count, total = 0;
    const struct http_asset *assets = page_assets(&count);
    CHECK(count >= 4);
    for (size_t i = 0; i < count; i++) {
        const struct http_asset *asset = &assets[i];
        CHECK(asset->path[0] == '/' && asset->content_type && asset->bytes.size > 0);
        CHECK(asset->bytes.data[asset->bytes.size] == '\0'); /* nothing of the next file */
        CHECK(asset->etag && strlen(asset->etag) == 18 && asset->etag[0] == '"');
        /* RFC 1952: magic, method 8, ..., CRC-32 and size of what was compressed. */
        CHECK(asset->gzip.size > 18 && !memcmp(asset->gzip.data, "\x1f\x8b\x08", 3));
        const char *trailer = asset->gzip.data + asset->gzip.size - 8;
        CHECK_INT(crc32_of(asset->bytes), little_endian(trailer));
        CHECK_INT(asset->bytes.size, little_endian(trailer + 4));
        total += asset->bytes.size;
    }
    CHECK(total <= 900000);
}

TEST(the_page_refers_to_files_that_are_here_and_runs_nothing_inline)
{
    const struct http_asset *page = find("/");
    CHECK(page && find("/app.js") && find("/app.css") && find("/licenses.txt"));
    if (!page) return;
    CHECK(!strcmp(page->content_type, "text/html; charset=utf-8"));
    CHECK(has(page->bytes, "src=\"app.js\"") && has(page->bytes, "href=\"app.css\""));
    CHECK(!has(page->bytes, "http://") && !has(page->bytes, "https://"));
    CHECK(!has(page->bytes, "<style") && !has(page->bytes, " style=") &&
          !has(page->bytes, "<script>"));
}

TEST(the_policy_allows_only_this_origin)
{
    size_t count;
    const struct http_asset *assets = page_assets(&count);
    for (size_t i = 0; i < count; i++) {
        struct str policy = field(&assets[i], "Content-Security-Policy");
        CHECK(has(policy, "default-src 'none'") && has(policy, "script-src 'self';"));
        CHECK(has(policy, "style-src 'self';") && has(policy, "connect-src 'self';"));
        CHECK(has(policy, "frame-ancestors 'none'"));
        CHECK(!has(policy, "unsafe") && !has(policy, "*") && !has(policy, "http"));
        CHECK(str_equal_c(field(&assets[i], "X-Frame-Options"), "DENY"));
    }
}
