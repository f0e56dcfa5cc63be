#define _GNU_SOURCE
#include "cmd/line_keys.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/utf8.h"

enum {
    BYTE_CLOSED = -1,
    BYTE_LATE = -2,   /* nothing came in time */
    BYTE_SIGNAL = -3, /* the wait was interrupted */
    ESCAPE = 27,
    ESCAPE_WAIT_MS = 50, /* a lone Escape key is told from a sequence by the pause after it */
    PASTE_WAIT_MS = 2000,
    PASTE_LIMIT = 8 << 20,
};

static int next_byte(struct line_keys *keys, int wait_ms)
{
    if (keys->begin < keys->end) return keys->bytes[keys->begin++];
    struct pollfd waiting = {.fd = keys->fd, .events = POLLIN};
    int ready = poll(&waiting, 1, wait_ms);
    if (ready == 0) return BYTE_LATE;
    if (ready < 0) return errno == EINTR ? BYTE_SIGNAL : BYTE_CLOSED;
    ssize_t got = read(keys->fd, keys->bytes, sizeof keys->bytes);
    if (got < 0 && errno == EINTR) return BYTE_SIGNAL;
    if (got <= 0) return BYTE_CLOSED;
    keys->begin = 1;
    keys->end = (size_t)got;
    return keys->bytes[0];
}

/* Line ends become \n; control characters other than \t are dropped: a paste is text, not commands. */
static enum key finish_paste(struct line_keys *keys, size_t size)
{
    char *bytes = keys->text.data;
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\r') {
            if (i + 1 < size && bytes[i + 1] == '\n') continue;
            c = '\n';
        }
        if (c >= 0x20 ? c != 0x7F : c == '\n' || c == '\t') bytes[kept++] = (char)c;
    }
    keys->text.size = kept;
    if (bytes) bytes[kept] = '\0';
    return kept ? KEY_TEXT : KEY_NONE;
}

static enum key read_paste(struct line_keys *keys)
{
    static const char end[] = "\x1b[201~";
    enum { END_SIZE = sizeof end - 1 };
    keys->text.limit = PASTE_LIMIT;
    for (;;) {
        int byte = next_byte(keys, PASTE_WAIT_MS);
        if (byte == BYTE_SIGNAL) continue;
        if (byte < 0) return finish_paste(keys, keys->text.size);
        /* Past the limit the rest is read and dropped, so that it does not arrive as commands. */
        if (strbuf_append_char(&keys->text, (char)byte) != STATUS_OK) {
            memmove(keys->text.data + keys->text.size - END_SIZE,
                    keys->text.data + keys->text.size - END_SIZE + 1, END_SIZE - 1);
            keys->text.data[keys->text.size - 1] = (char)byte;
        }
        if (byte == '~' && str_ends_with(strbuf_view(&keys->text), str_of(end)))
            return finish_paste(keys, keys->text.size - END_SIZE);
    }
}

/* After ESC [ : parameters, then a final byte. */
static enum key read_control_sequence(struct line_keys *keys)
{
    int numbers[4] = {0}, n_numbers = 1, byte;
    while ((byte = next_byte(keys, ESCAPE_WAIT_MS)) >= 0) {
        if (byte >= '0' && byte <= '9') {
            int *number = &numbers[n_numbers - 1];
            if (*number < 100000) *number = *number * 10 + (byte - '0');
        } else if (byte == ';') {
            if (n_numbers < 4) n_numbers++;
        } else if (byte >= 0x40 && byte <= 0x7E && byte != '[') {
            break;
        } else if (byte == '[') { /* the Linux console's function keys: one more letter */
            next_byte(keys, ESCAPE_WAIT_MS);
            return KEY_NONE;
        }
    }
    bool by_word = n_numbers >= 2 && numbers[1] >= 3; /* Alt 3, Ctrl 5, both 7 */
    switch (byte) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case 'C':
        return by_word ? KEY_WORD_RIGHT : KEY_RIGHT;
    case 'D':
        return by_word ? KEY_WORD_LEFT : KEY_LEFT;
    case 'c':
        return KEY_WORD_RIGHT;
    case 'd':
        return KEY_WORD_LEFT;
    case 'H':
        return KEY_HOME;
    case 'F':
        return KEY_END;
    case 'u': /* keys reported by number: Enter with a modifier */
        return numbers[0] == 13 ? KEY_NEWLINE : KEY_NONE;
    case '~':
        switch (numbers[0]) {
        case 1:
        case 7:
            return KEY_HOME;
        case 4:
        case 8:
            return KEY_END;
        case 3:
            return KEY_DELETE;
        case 27:
            return numbers[2] == 13 ? KEY_NEWLINE : KEY_NONE;
        case 200:
            return read_paste(keys);
        default:
            return KEY_NONE;
        }
    default:
        return KEY_NONE;
    }
}

static enum key read_escape(struct line_keys *keys)
{
    int byte = next_byte(keys, ESCAPE_WAIT_MS);
    if (byte < 0) return KEY_NONE;
    switch (byte) {
    case '[':
        return read_control_sequence(keys);
    case 'O':
        byte = next_byte(keys, ESCAPE_WAIT_MS);
        switch (byte) {
        case 'A':
            return KEY_UP;
        case 'B':
            return KEY_DOWN;
        case 'C':
            return KEY_RIGHT;
        case 'D':
            return KEY_LEFT;
        case 'H':
            return KEY_HOME;
        case 'F':
            return KEY_END;
        case 'c':
            return KEY_WORD_RIGHT;
        case 'd':
            return KEY_WORD_LEFT;
        default:
            return KEY_NONE;
        }
    case '\r':
    case '\n':
        return KEY_NEWLINE;
    case 0x7F:
    case 0x08:
        return KEY_WORD_BACKSPACE;
    default:
        keys->control = (char)(byte | 0x20);
        return KEY_ALT;
    }
}

enum key line_keys_next(struct line_keys *keys)
{
    strbuf_clear(&keys->text);
    int byte = next_byte(keys, -1);
    if (byte == BYTE_CLOSED) return KEY_CLOSED;
    if (byte < 0) return KEY_NONE;
    if (byte == ESCAPE) return read_escape(keys);
    if (byte == '\r' || byte == '\n') return KEY_ENTER;
    if (byte == 0x7F || byte == 0x08) return KEY_BACKSPACE;
    if (byte == '\t') return strbuf_append_char(&keys->text, '\t') ? KEY_NONE : KEY_TEXT;
    if (byte < 0x20) {
        keys->control = (char)(byte | 0x60);
        return KEY_CONTROL;
    }
    size_t need = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    char character[4] = {(char)byte};
    size_t size = 1;
    while (size < need) {
        byte = next_byte(keys, ESCAPE_WAIT_MS);
        if (byte == BYTE_SIGNAL) continue;
        if (byte < 0) return KEY_NONE;
        if ((byte & 0xC0) != 0x80) {
            keys->begin--; /* a key of its own */
            return KEY_NONE;
        }
        character[size++] = (char)byte;
    }
    struct str text = {character, size};
    if (!utf8_is_valid(text)) return KEY_NONE;
    return strbuf_append(&keys->text, text) ? KEY_NONE : KEY_TEXT;
}
