/* page_assets: the chat page, embedded in the program.
 *
 * The files of web/dist as they were built, each with its gzip twin, its entity tag and the security headers that
 * keep the page from running or loading anything but itself. Mounting it is one line:
 *
 *     options.assets = page_assets(&options.n_assets);
 */
#ifndef SERVE_PAGE_ASSETS_H
#define SERVE_PAGE_ASSETS_H

#include "serve/http_server.h"

/* Static, the same at every call; never empty. The page itself is the entry of path "/". */
const struct http_asset *page_assets(size_t *count);

#endif
