/* json_schema: what the JSON Schema front end (grammar_compile_json_schema) takes, and what it makes of it.
 *
 * Drafts 4, 6, 7, 2019-09 and 2020-12, told apart by "$schema" (2020-12 without one). Enforced exactly:
 *
 *   any       type (also lists), enum, const, allOf, anyOf, oneOf, not, if/then/else, $ref (local: #, pointers, $anchor,
 *             $id of the same document), boolean schemas
 *   string    minLength, maxLength (in characters), pattern (a search, as the specification says), format: date-time,
 *             date, time, duration, email, idn-email, hostname, idn-hostname, ipv4, ipv6, uuid, uri, uri-reference, iri,
 *             iri-reference, json-pointer, relative-json-pointer, and OpenAPI's byte, binary, password, int32, int64,
 *             float, double
 *   number    minimum, maximum, exclusiveMinimum, exclusiveMaximum (both spellings), multipleOf
 *   array     items, prefixItems, additionalItems, minItems, maxItems, contains with minContains; uniqueItems of at most
 *             one item or of up to eight values listed by enum, const or boolean
 *   object    properties, required, additionalProperties, patternProperties, propertyNames, minProperties,
 *             maxProperties, dependentRequired, dependentSchemas, dependencies
 *
 * Refused with STATUS_UNSUPPORTED and the JSON pointer: unevaluatedItems, unevaluatedProperties, $dynamicRef,
 * $recursiveRef, maxContains, remote references, other formats, other cases of uniqueItems, negations of what has no
 * opposite here, patterns that regex.h refuses, and oneOf whose branches can neither be told apart nor negated.
 *
 * The answers are a part of the valid values, written in one way: properties in the order of the schema (those of
 * several merged schemas one after the other, required ones that no schema lists after them, then any others); numbers
 * without exponent where they are bounded, integers without a fraction; a bounded number of digits (json_text.h); keys,
 * and strings under a pattern, format or enum, with escapes only where JSON demands them; formats in their common form.
 * Keys that no schema names count at most once towards minProperties, since they might be equal. Annotations (title,
 * description, default, examples, ...) and keywords that no draft knows mean nothing, as the specification says.
 */
#ifndef GRAMMAR_JSON_SCHEMA_H
#define GRAMMAR_JSON_SCHEMA_H

#include "grammar/json_text.h"

/* Productions of a schema, for other front ends. `source` must outlive the call only. */
status json_schema_compile(struct json_text *, struct str source, const struct grammar_options *,
                           production *out, struct error *err);
/* The same of a parsed schema; NULL or a schema of true: any value. */
status json_schema_compile_tree(struct json_text *, const struct json *,
                                const struct grammar_options *, production *out, struct error *err);

#endif
