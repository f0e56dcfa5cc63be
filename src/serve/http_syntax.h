/* http_syntax: the small grammars of HTTP (RFC 9110, 9112, 3986), each as one function. Pure. */
#ifndef SERVE_HTTP_SYNTAX_H
#define SERVE_HTTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* May stand in a line: visible ASCII, space, tab, and bytes above 0x7f. */
bool http_is_text_char(char);
/* 1*tchar: methods and header names. */
bool http_is_token(struct str);
/* A header value that may be sent: text characters only. */
bool http_is_field_value(struct str);

bool http_equal_ignoring_case(struct str, const char *);
bool http_equal_strs_ignoring_case(struct str, struct str);
/* Without spaces and tabs around it. */
struct str http_trim(struct str);
/* Takes the next non-empty item of a comma-separated list off the front; false at its end. */
bool http_next_list_item(struct str *list, struct str *item);

/* "HTTP/1.1"; false when it is not of that form. */
bool http_parse_version(struct str, int *major, int *minor);
/* host [":" port]: a name or address with the characters of a URI, or an IPv6 address in brackets; may be empty,
 * has no user part. */
bool http_is_authority(struct str);
/* The host of an authority, without port, brackets kept. */
struct str http_authority_host(struct str);
/* "http://host:80/path" -> "/path" and "host:80"; other targets are left alone. False when malformed. */
bool http_split_absolute_target(struct str *target, struct str *authority);
/* "/path?query": begins with '/', has only the characters of a URI, whole %XX escapes and no fragment. In the
 * query [ ] | { } ^ are let pass, which browsers and libraries send. */
bool http_split_target(struct str target, struct str *path, struct str *query);

/* The leading hexadecimal digits as a number (0 beyond 16 digits); returns how many there are. */
size_t http_parse_hex(struct str, uint64_t *value);
/* *( ";" name [ "=" ( token | quoted string ) ] ), or nothing. The blanks that RFC 9112 would have us bear
 * around ";" and "=" are refused: nobody sends them but to confuse. */
bool http_is_chunk_extension(struct str);

/* What may be repeated in a log and in a header: 1 to 128 of A-Z a-z 0-9 - _ . : */
bool http_is_safe_id(struct str);

#endif
