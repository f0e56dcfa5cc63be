#!/usr/bin/env python3
"""Train the byte-level BPE tokenizer of the Llama-3 kind and write its four JSON files.

    train_tokenizer.py --data DIR --out models/default [--vocabulary 13312]
"""
import argparse
import glob
import json
import lzma
import os

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
           "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>",
           "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
           "<|reserved_special_token_3|>", "<|reserved_special_token_4|>", "<|reserved_special_token_5|>",
           "<|reserved_special_token_6|>", "<|reserved_special_token_7|>"]
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
# Characters of every group that the trainer reads: the mix the model will see, roughly.
SHARE = {"gazette": 5, "laws": 1.5, "docs": 2, "taiwan": 4, "english": 3.5, "sentences": 3, "novels": 1.2,
         "poems": .8, "contexts": 2, "open_chat": 2, "topic_chat": 2, "counsel_chat": 2.5, "derived_chat": 3,
         "bitext": 2, "english_chat": 2, "english_more": 1, "synthetic": 3}


def texts(data):
    for path in sorted(glob.glob(os.path.join(data, "*.jsonl.xz"))):
        budget = SHARE.get(os.path.basename(path).split(".")[0], 0) * 1e6
        with lzma.open(path, "rt", encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                if row["split"] != "train":
                    continue
                text = row["text"] if "text" in row else "\n".join(m["content"] for m in row["messages"])
                budget -= len(text)
                if budget < 0:
                    break
                yield text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--vocabulary", type=int, default=13312)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocabulary - len(SPECIAL), special_tokens=[], show_progress=False, min_frequency=3,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=24)
    tokenizer.train_from_iterator(texts(args.data), trainer)
    tokenizer.add_special_tokens(SPECIAL)
    assert tokenizer.get_vocab_size() == args.vocabulary, tokenizer.get_vocab_size()
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A",
                                      pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    tokenizer.save(os.path.join(args.out, "tokenizer.json"), pretty=False)

    def write(name, value):
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, indent=2)
            f.write("\n")

    flag = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {str(tokenizer.token_to_id(t)): {"content": t, **flag, "special": True} for t in SPECIAL}
    write("tokenizer_config.json", {
        "added_tokens_decoder": added, "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
        "pad_token": "<|finetune_right_pad_id|>", "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 2048, "tokenizer_class": "PreTrainedTokenizerFast"})
    write("special_tokens_map.json", {
        key: {"content": token, **flag} for key, token in
        (("bos_token", "<|begin_of_text|>"), ("eos_token", "<|eot_id|>"),
         ("pad_token", "<|finetune_right_pad_id|>"))})
    ids = {t: tokenizer.token_to_id(t) for t in SPECIAL}
    write("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": args.vocabulary,
        "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 10, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "hidden_act": "silu", "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False,
        "mlp_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": True, "initializer_range": 0.02,
        "pretraining_tp": 1, "use_cache": True, "torch_dtype": "bfloat16", "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": [ids["<|end_of_text|>"], ids["<|eom_id|>"], ids["<|eot_id|>"]],
        "pad_token_id": ids["<|finetune_right_pad_id|>"]})
    write("generation_config.json", {
        "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": [ids["<|end_of_text|>"], ids["<|eom_id|>"], ids["<|eot_id|>"]],
        "pad_token_id": ids["<|finetune_right_pad_id|>"], "do_sample": True, "temperature": 0.5, "top_p": 0.9})


if __name__ == "__main__":
    main()
