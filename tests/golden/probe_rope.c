/* probe_rope FOLDER: config.json's rotary embedding. Standard input: lines "position length"; standard output: for each
 * the cosines, then the sines, as raw float32. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "model/llama.h"

int main(int argc, char **argv)
{
    static float cosines[ROPE_MAX_PAIRS], sines[ROPE_MAX_PAIRS];
    struct arena arena = {0};
    struct strbuf path = {0}, text = {0};
    struct json *json;
    struct llama_config config;
    struct error err = {0};
    if (argc < 2 || file_join(&path, str_of(argv[1]), STR("config.json")) != STATUS_OK ||
        file_read(path.data, 1 << 20, &text, &err) != STATUS_OK ||
        json_parse(&arena, strbuf_view(&text), NULL, path.data, &json, &err) != STATUS_OK ||
        llama_config_parse(&config, json, path.data, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int position, length;
    while (scanf("%d %d", &position, &length) == 2) {
        rope_angles(&config.rope, position, length, cosines, sines);
        fwrite(cosines, sizeof(float), (size_t)config.rope.n_pairs, stdout);
        fwrite(sines, sizeof(float), (size_t)config.rope.n_pairs, stdout);
    }
    strbuf_deinit(&path);
    strbuf_deinit(&text);
    arena_deinit(&arena);
    return 0;
}
