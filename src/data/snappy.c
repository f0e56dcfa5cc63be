#include "data/decompress.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct snappy {
    const unsigned char *in;
    size_t in_size, at;
    unsigned char *out;
    size_t out_size, n_out;
};

static bool read_length(struct snappy *s, uint64_t *length)
{
    *length = 0;
    for (int shift = 0; shift < 35 && s->at < s->in_size; shift += 7) {
        unsigned char byte = s->in[s->at++];
        *length |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return false;
}

/* `count` bytes of a little-endian number. */
static bool read_number(struct snappy *s, int count, size_t *value)
{
    *value = 0;
    if (s->in_size - s->at < (size_t)count) return false;
    for (int i = 0; i < count; i++) *value |= (size_t)s->in[s->at++] << (8 * i);
    return true;
}

static bool copy_literal(struct snappy *s, unsigned tag)
{
    size_t length = tag >> 2;
    if (length >= 60 && !read_number(s, (int)length - 59, &length)) return false;
    length++;
    if (length > s->in_size - s->at || length > s->out_size - s->n_out) return false;
    memcpy(s->out + s->n_out, s->in + s->at, length);
    s->at += length;
    s->n_out += length;
    return true;
}

static bool copy_earlier(struct snappy *s, unsigned tag)
{
    size_t length = (tag >> 2) + 1, distance;
    if ((tag & 3) == 1) {
        length = ((tag >> 2) & 7) + 4;
        if (!read_number(s, 1, &distance)) return false;
        distance |= (size_t)(tag >> 5) << 8;
    } else if (!read_number(s, (tag & 3) == 2 ? 2 : 4, &distance)) {
        return false;
    }
    if (distance == 0 || distance > s->n_out || length > s->out_size - s->n_out) return false;
    for (size_t i = 0; i < length; i++, s->n_out++) s->out[s->n_out] = s->out[s->n_out - distance];
    return true;
}

status decompress_snappy(const unsigned char *in, size_t in_size, unsigned char *out,
                         size_t out_size, struct error *err)
{
    struct snappy s = {in, in_size, 0, out, out_size, 0};
    uint64_t length;
    if (!read_length(&s, &length) || length != out_size)
        return error_set(err, STATUS_FORMAT, "snappy: its length is not the %zu bytes expected",
                         out_size);
    while (s.at < s.in_size) {
        unsigned tag = s.in[s.at++];
        if (!((tag & 3) == 0 ? copy_literal(&s, tag) : copy_earlier(&s, tag)))
            return error_set(err, STATUS_FORMAT, "snappy: damaged at byte %zu of %zu", s.at,
                             in_size);
    }
    if (s.n_out == out_size) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "snappy: ends after %zu of %zu bytes", s.n_out, out_size);
}
