#!/usr/bin/env python3
"""Talk to the model through transformers, greedily by default, and print the transcript.

    evaluate.py --model models/default [--unseen] [--sample]

The first prompts resemble the training templates, and the templates were extended after a
first model had answered them: they show what the model was made for.  `--unseen` asks others,
written after training was over.  The last line counts answers that did not stop by themselves
and answers with simplified characters.
"""
import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepare_data import count_simplified

PROMPTS = [
    ["你好！請簡單介紹一下臺灣。"], ["你好，你是誰？"], ["臺灣最高的山是哪一座？"], ["早安！今天過得好嗎？"],
    ["我想知道你到底能幫上什麼忙"], ["我叫阿明，我住在臺南。", "我叫什麼名字？", "我住在哪裡？"],
    ["日本的首都在哪？", "那法國呢？", "謝謝你！"], ["7加8是多少？"], ["小美有六顆糖，吃了兩顆，剩下幾顆？"],
    ["為什麼天空看起來藍藍的？"], ["可以教我煮番茄炒蛋嗎？"], ["寫一首跟春天有關的短詩"], ["我今天考試沒考好，心情很糟"],
    ["「勇敢」的相反詞"], ["大象和螞蟻哪個比較大？"], ["請推薦三種臺灣小吃"], ["高雄有什麼好玩的地方呢？", "那邊有什麼好吃的？"],
    ["光合作用是怎麼一回事"], ["用一句話說明什麼是機器學習"], ["How do you say 圖書館 in English?"], ["把「我喜歡吃蘋果」翻成英文"],
    ["Hello, who are you?"], ["中秋節為什麼要吃月餅？"], ["請介紹一下日月潭"], ["今天禮拜四，後天是禮拜幾？"],
    ["魚住在哪裡？"], ["冬天應該穿什麼？"], ["你覺得人生的意義是什麼？"], ["量子糾纏的實驗是誰做的？"],
    ["如何保持身體健康？"], ["我最喜歡的顏色是藍色。", "今天好累喔。", "我最喜歡什麼顏色？"], ["說一個關於小狗的故事"],
    ["臺北到高雄可以怎麼去？"], ["李白是哪一個朝代的人？"], ["請用「學校」造一個句子"], ["什麼是民主？"],
    ["晚上睡不好該怎麼辦？"], ["機車可以騎上高速公路嗎？"], ["臺灣有哪些原住民族？"], ["掰掰囉，下次見"],
]

UNSEEN = [
    ["今天天氣真好，你想做什麼？"], ["我媽媽生日快到了，要送什麼？"], ["你有沒有推薦的電影？"], ["嘿嘿，你在幹嘛"],
    ["請問烏龜吃什麼東西？"], ["蘋果跟橘子有何不同？"], ["黑洞為什麼是黑的？"], ["新竹冷不冷？"],
    ["我是大學生，在臺中念書。", "你記得我在哪裡念書嗎？"], ["請解釋什麼是通貨膨脹"], ["我想學日文，該從哪裡開始？"],
    ["小強有10元，花掉3元，剩多少元？"], ["台灣最大的湖？"], ["What is your favorite food?"], ["介紹你自己，三句話以內。"],
    ["謝謝你陪我聊天，我心情好多了"],
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--sample", action="store_true", help="with the settings of generation_config.json")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    torch.manual_seed(0)
    endless = simplified = answers = 0
    for prompts in UNSEEN if args.unseen else PROMPTS:
        messages = []
        for prompt in prompts:
            messages.append({"role": "user", "content": prompt})
            inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt",
                                                   return_dict=True)
            options = {} if args.sample else {"do_sample": False, "temperature": None, "top_p": None}
            with torch.no_grad():
                output = model.generate(**inputs, max_new_tokens=200, **options)[0, inputs["input_ids"].shape[1]:]
            answer = tokenizer.decode(output, skip_special_tokens=True)
            answers += 1
            endless += int(output[-1]) not in model.generation_config.eos_token_id
            simplified += count_simplified(answer) > 0
            messages.append({"role": "assistant", "content": answer})
            print("> " + prompt + "\n" + answer + "\n", flush=True)
    print("%d answers, %d did not stop, %d with simplified characters" % (answers, endless, simplified))


if __name__ == "__main__":
    main()
