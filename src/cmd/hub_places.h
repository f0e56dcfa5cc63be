/* hub_places: where the environment says that the Hugging Face cache is. */
#ifndef CMD_HUB_PLACES_H
#define CMD_HUB_PLACES_H

#include "cmd/commands.h"
#include "hub/hub_cache.h"

static inline struct hub_cache_options hub_places(const struct environment *environment)
{
    return (struct hub_cache_options){
        .hf_hub_cache = environment->hf_hub_cache,
        .hf_home = environment->hf_home,
        .xdg_cache_home = environment->xdg_cache_home,
        .home = environment->home,
    };
}

#endif
