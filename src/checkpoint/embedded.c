#include "checkpoint/embedded.h"

#ifdef TWLLM_EMBEDDED_MODEL_DIR

/* The assembler copies the file as it stands; nothing is generated or parsed at build time. */
#define EMBED(symbol, file)                                                                        \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 64\n" #symbol "_begin:\n"                                                     \
            ".incbin \"" TWLLM_EMBEDDED_MODEL_DIR "/" file "\"\n" #symbol "_end:\n"                \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char symbol##_begin[] __attribute__((visibility("hidden")));                      \
    extern const char symbol##_end[] __attribute__((visibility("hidden")))

EMBED(embedded_config, "config.json");
EMBED(embedded_generation_config, "generation_config.json");
EMBED(embedded_tokenizer, "tokenizer.json");
EMBED(embedded_tokenizer_config, "tokenizer_config.json");
EMBED(embedded_safetensors, "model.safetensors");

#define BYTES(symbol) ((struct str){symbol##_begin, (size_t)(symbol##_end - symbol##_begin)})

bool embedded_model(struct embedded_files *files)
{
    *files = (struct embedded_files){
        .config_json = BYTES(embedded_config),
        .generation_config_json = BYTES(embedded_generation_config),
        .tokenizer_json = BYTES(embedded_tokenizer),
        .tokenizer_config_json = BYTES(embedded_tokenizer_config),
        .safetensors = BYTES(embedded_safetensors),
    };
    return true;
}

#else

bool embedded_model(struct embedded_files *files)
{
    *files = (struct embedded_files){0};
    return false;
}

#endif
