/* openapi: the server's description of itself (OpenAPI 3.1), made from the endpoints and their fields. */
#ifndef SERVE_OPENAPI_H
#define SERVE_OPENAPI_H

#include "serve/job.h"

status openapi_write(const struct serve *, struct strbuf *out, struct error *err);

#endif
