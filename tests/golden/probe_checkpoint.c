/* probe_checkpoint NAME [weights|all|resolve] [HF_HUB_CACHE]: opens a model as the program does; prints what it is, or
 * the message on standard error. Exit status: the status code. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

static status open_one(const char *name, const char *how, const char *cache, struct error *err)
{
    struct hub_cache_options hub = {.hf_hub_cache = cache, .home = "/nonexistent"};
    if (!strcmp(how, "resolve")) {
        struct strbuf folder = {0};
        status result = hub_cache_resolve(&hub, name, &folder, err);
        if (result == STATUS_OK) printf("%s\n", folder.data);
        strbuf_deinit(&folder);
        return result;
    }
    struct checkpoint *c;
    struct checkpoint_options options = {
        .parts = !strcmp(how, "all") ? CHECKPOINT_ALL : CHECKPOINT_WEIGHTS,
        .hub = hub,
        .prefetch = true,
    };
    status result = checkpoint_open(&c, name, &options, err);
    if (result != STATUS_OK) return result;
    printf("%" PRId64 " layers, %zu tensors, rope %s, %zu eos ids\n", c->config.num_hidden_layers,
           c->tensors->n_entries, rope_kind_name(c->config.rope.kind), c->generation.n_eos_ids);
    checkpoint_close(c);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 2) return 2;
    const char *how = argc > 2 ? argv[2] : "weights", *cache = argc > 3 ? argv[3] : NULL;
    status result = open_one(argv[1], how, cache, &err);
    if (result != STATUS_OK) fprintf(stderr, "%s\n", err.text);
    return (int)result;
}
