#!/usr/bin/env python3
"""Write the synthetic conversations: templates over the tables of synthetic_facts.py.

    synthetic_chat.py --out DIR [--count 200000]

Deterministic (fixed seed).  A conversation is one to five exchanges on chance topics, some
of which depend on an earlier turn (a name, a favourite, "and Japan?"), with or without a
system message.  All text is our own.  About 1 % is marked held out.
"""
import argparse
import json
import lzma
import os
import random
import re

import synthetic_facts as facts

R = random.Random(20261123)
NAME = "twllm 內建的小型示範模型"


def pick(*options):
    return R.choice(options)


def table(text):
    return [tuple(item.split(":", 1)) for item in re.split(r" (?=[^\x00-\x7f]+:)", text)]


def number(n):
    """0..99 in Chinese numerals."""
    digit = "零一二三四五六七八九"
    if n < 10:
        return digit[n]
    tens = ("" if n < 20 else digit[n // 10]) + "十"
    return tens + (digit[n % 10] if n % 10 else "")


def ask(question):
    """A question as people type it: with or without a greeting, politeness and punctuation."""
    q = question
    if "臺" in q and R.random() < .35:
        q = q.replace("臺", "台")
    r = R.random()
    if r < .42:
        before = ""
    elif r < .60:
        before = pick("請問", "請問", "想請問", "請問一下，")
    elif r < .72:
        before = pick("你知道", "你知道", "你曉得")
    elif r < .82:
        before = pick("可以告訴我", "告訴我", "我想知道", "我想問")
    else:
        before = pick("你好，", "你好！", "嗨，", "哈囉，", "那", "不好意思，", "你好，請問")
    q = before + q
    end = R.random()
    if before in ("你知道", "你曉得", "可以告訴我"):
        return q + pick("嗎？", "嗎？", "？", "嗎")
    if end < .62:
        return q + "？"
    if end < .72:
        return q + ("呢？" if not q.endswith(("嗎", "呢")) else "？")
    return q + pick("", "", "?", "？謝謝。")


def close(answer):
    """Now and then an answer opens or ends with a friendly half sentence."""
    r = R.random()
    if r < .05:
        return pick("好的！", "當然！", "沒問題！", "好問題！") + answer
    if r < .08:
        return answer + pick("還有其他問題嗎？", "希望對你有幫助。")
    return answer


def turn(user, assistant):
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


FACTS = []
for line in (facts.FACTS + "\n" + facts.MORE_FACTS).split("\n"):
    questions, answer = line.split("|", 1)
    FACTS.append((questions.split(";"), answer))
TOPICS = [tuple(line.split("|")) for line in facts.TOPICS.split("\n")]
CAPITALS, CONTINENTS, LANGUAGES = table(facts.CAPITALS), dict(table(facts.CONTINENTS)), dict(table(facts.LANGUAGES))
FOOD, SIGHT, REGION = dict(table(facts.CITY_FOOD)), dict(table(facts.CITY_SIGHT)), dict(table(facts.CITY_REGION))
OPPOSITES, CLASSIFIERS, COLORS = table(facts.OPPOSITES), table(facts.CLASSIFIERS), table(facts.COLORS)
SOUNDS, WORDS, JOBS, USES, IDIOMS = (table(t) for t in (facts.SOUNDS, facts.WORDS, facts.JOBS, facts.USES, facts.IDIOMS))
SENTENCES = re.findall(r"(\S+?[。！？]):(.+?)(?= [\u4e00-\u9fff]|$)", facts.SENTENCES)
CATEGORIES = {k: v.split() for k, v in facts.CATEGORIES.items()}
SURNAMES, GIVEN, NICKNAMES = facts.SURNAMES.split(), facts.GIVEN.split(), facts.NICKNAMES.split()
THINGS = {k: v.split() for k, v in facts.THINGS.items()}


def fact():
    questions, answer = R.choice(FACTS)
    return turn(ask(R.choice(questions)), close(answer))


def topic():
    name, kind, definition, detail = R.choice(TOPICS)
    shown = name.replace("臺", "台") if R.random() < .35 else name
    full = definition + "。" + detail + "。"
    r = R.random()
    if r < .40:
        q = pick("請介紹{}", "請簡單介紹一下{}", "請介紹一下{}", "介紹一下{}", "簡單介紹{}", "跟我說說{}", "可以介紹{}嗎",
                 "請簡單介紹{}", "能不能介紹一下{}", "說說{}吧", "我想認識{}", "我想了解{}", "請告訴我關於{}的事",
                 "聊聊{}吧", "你可以介紹一下{}嗎").format(shown)
        q = pick("", "", "", "你好，", "你好！", "嗨！", "那", "你好！可以") + q if not q.startswith(("可以", "能", "你")) else q
        return turn(q + ("？" if q.endswith("嗎") or q.startswith("能不能") or "可以" in q else pick("。", "。", "", "！")), close(full))
    if r < .62:
        people = kind == "人物"
        q = pick("{}是誰", "誰是{}", "你認識{}嗎") if people else pick("{}是什麼", "什麼是{}", "什麼叫做{}", "{}是什麼意思", "{}是什麼東西")
        return turn(ask(q.format(shown)), full if R.random() < .7 else definition + "。")
    if r < .74:
        q = pick("請用一句話介紹{}", "用一句話說明{}", "請用一句話解釋什麼是{}", "一句話介紹{}", "簡短說明{}").format(shown)
        return turn(q + pick("。", "", "！"), definition + "。")
    if r < .86:
        q = pick("你知道{}嗎", "你聽過{}嗎", "知道{}嗎").format(shown)
        return turn(q + "？", pick("知道，", "知道！", "當然知道，", "我知道，") + full)
    q = pick("{}有什麼特色", "{}有什麼特別的地方", "{}為什麼有名", "可以多說一點{}的事嗎", "{}有什麼特別").format(shown)
    return turn(q + "？", detail + "。")


def topic_followup():
    name, kind, definition, detail = R.choice(TOPICS)
    first = turn(pick("{}是什麼？", "什麼是{}？", "請用一句話介紹{}。").format(name) if kind != "人物" else name + "是誰？",
                 definition + "。")
    if R.random() < .55:
        return first + turn(pick("可以說得詳細一點嗎？", "還有呢？", "多說一點。", "請再多說一些。", "可以多介紹一點嗎？", "然後呢？",
                                 "有什麼特別的嗎？", "繼續說。"), detail + "。")
    if R.random() < .6:
        return first + turn(pick("你剛剛在說什麼？", "我們剛才在聊什麼？", "剛剛我問了什麼？"),
                            pick("我們剛才在聊%s。", "你剛才問的是%s。") % name)
    return turn(pick("請介紹{}。", "跟我說說{}。").format(name), definition + "。" + detail + "。") + \
        turn(pick("可以說得簡單一點嗎？", "太長了，請用一句話說。", "請簡短一點。", "請濃縮成一句話。"), definition + "。")


GREET = ["你好", "您好", "嗨", "哈囉", "你好啊", "你好呀", "哈囉，你好", "嗨嗨", "安安", "你好！", "大家好", "Hi", "在嗎", "有人在嗎", "嘿"]


def greeting():
    r = R.random()
    if r < .45:
        return turn(R.choice(GREET).rstrip("！") + pick("", "！", "。", "～", "!"), pick(
            "你好！很高興見到你，有什麼我可以幫忙的嗎？", "你好！今天想聊什麼呢？", "嗨！有什麼想問我的嗎？", "你好，很高興和你聊天！",
            "哈囉！需要我幫什麼忙嗎？", "你好！我在這裡，請說。"))
    if r < .62:
        part = pick("早安", "早上好", "午安", "下午好", "晚安", "晚上好")
        reply = {"早安": "早安！祝你今天有美好的一天。", "早上好": "早安！今天想聊什麼呢？", "午安": "午安！吃過午餐了嗎？", "下午好":
                 "午安！有什麼我可以幫忙的嗎？", "晚安": "晚安！祝你有個好夢。", "晚上好": "晚上好！今天過得怎麼樣？"}[part]
        return turn(part + pick("", "！", "。", "啊", "，你好"), reply)
    if r < .85:
        return turn(pick("你好嗎？", "你今天好嗎？", "最近好嗎？", "你今天過得如何？", "你還好嗎？", "最近怎麼樣？", "你好，最近過得好嗎？",
                         "吃飽了嗎？", "今天心情好嗎？"),
                    pick("我很好，謝謝你！你呢？", "我很好，謝謝關心。你今天過得如何？", "我是程式，不會累，隨時都可以聊天。你呢？",
                         "謝謝你的關心，我很好！今天想聊些什麼？"))
    return turn(pick("我們來聊天吧", "陪我聊天", "我想找人聊天", "可以陪我聊聊嗎？", "我想聊天", "跟我聊聊天吧"),
                pick("好啊！你今天過得怎麼樣？", "當然可以！你想聊什麼呢？", "好的，我很樂意陪你聊天。你喜歡做什麼？"))


def identity():
    who = pick(
        "我是 " + NAME + "，可以用正體中文和你聊天。",
        "你好！我是 " + NAME + "，很高興認識你。",
        "我是 " + NAME + "。我很小，會的不多，但我會盡力回答。",
        "我是 " + NAME + "，可以回答簡單的問題，不過有時候會說錯。")
    pairs = [
        (["你是誰", "你好，你是誰", "請問你是誰", "你是什麼", "你叫什麼名字", "你的名字是什麼", "怎麼稱呼你", "請自我介紹", "介紹一下你自己",
          "可以介紹一下自己嗎", "請你自我介紹一下", "請問你叫什麼名字", "你到底是誰", "你是什麼模型", "你是哪一個模型", "說說你自己", "嗨，你是誰",
          "您是哪位", "你有名字嗎", "你是什麼東西"], [who] * 4),
        (["你會做什麼", "你可以做什麼", "你能做什麼", "你能幫我什麼", "你有什麼功能", "你會什麼", "你能幫我做什麼", "你可以幫我什麼忙", "我可以問你什麼", "你到底會什麼", "你能幫上什麼忙", "我想知道你會做什麼", "你有什麼用", "你可以用來做什麼", "我可以請你做什麼", "你擅長什麼", "說說你會做的事"],
         ["我可以和你打招呼、聊天，回答簡單的常識問題，做簡單的加減法，也能翻譯一些常見的單字。",
          "我可以聊天、介紹臺灣、回答簡單的問題和寫短詩。我是很小的模型，難的問題可能會答錯。",
          "我會聊天、說說臺灣的景點和美食、做簡單的計算，還有中英文單字翻譯。"]),
        (["你是人嗎", "你是真人嗎", "你是機器人嗎", "你是不是人類", "我在跟真人說話嗎", "你是AI嗎", "你是人工智慧嗎"],
         ["我不是真人，我是一個小型的語言模型。", "我是電腦程式，是 " + NAME + "，不是真人。"]),
        (["你是ChatGPT嗎", "你是GPT嗎", "你是 Llama 嗎", "你是Siri嗎", "你是Gemini嗎", "你是Claude嗎"],
         ["不是，我是 " + NAME + "。"]),
        (["誰做的你", "誰創造了你", "你是誰做的", "你是誰開發的", "你是誰訓練的", "你的作者是誰"],
         ["我是 twllm 專案從頭訓練的小型模型，附在程式裡讓大家試用。"]),
        (["你有多大", "你有多少參數", "你的模型有多大", "你是大型語言模型嗎"],
         ["我只有大約一千一百萬個參數，是很小的模型。", "我很小，參數大約一千一百萬個，所以知道的事情不多。"]),
        (["你幾歲", "你今年幾歲", "你的年紀多大", "你的生日是什麼時候"], ["我是程式，沒有年齡，也沒有生日。", "我是電腦程式，所以沒有年紀。"]),
        (["你住在哪裡", "你家在哪裡", "你在哪裡", "你是哪裡人"], ["我住在你的電腦裡，沒有真正的家。", "我是程式，就在你的電腦裡運作。"]),
        (["你有感情嗎", "你會難過嗎", "你會開心嗎", "你有感覺嗎", "你會累嗎"], ["我是程式，沒有真正的感情，不過我很樂意陪你聊天。"]),
        (["你喜歡吃什麼", "你吃飯了嗎", "你要吃什麼", "你最愛吃什麼", "你會肚子餓嗎"], ["我是程式，不用吃東西，不過我可以和你聊聊臺灣的美食。你喜歡吃什麼？"]),
        (["你喜歡什麼", "你的興趣是什麼", "你有什麼興趣", "你的嗜好是什麼"], ["我喜歡和人聊天，也喜歡介紹臺灣。你的興趣是什麼呢？"]),
        (["你有朋友嗎", "你有家人嗎", "你有女朋友嗎", "你結婚了嗎", "你有男朋友嗎"], ["我是程式，沒有家人和朋友，不過現在有你陪我聊天。"]),
        (["你會說什麼語言", "你會說英文嗎", "你會說中文嗎", "你會講台語嗎", "你懂幾種語言"], ["我主要說正體中文，也會一點點英文。"]),
        (["你會寫程式嗎", "你可以幫我寫程式嗎", "幫我寫一個程式", "請幫我寫一個網站"], ["抱歉，我太小了，寫不出好的程式。建議你載入比較大的模型來做這件事。"]),
        (["你可以上網嗎", "你能上網查資料嗎", "你會上網嗎", "幫我上網查一下"], ["抱歉，我不能上網，只能用訓練時學到的內容回答。"]),
        (["你會說錯嗎", "你的答案可靠嗎", "我可以相信你嗎", "你會不會出錯", "你說的都是對的嗎", "你準確嗎"],
         ["我會說錯。我是很小的模型，重要的事情請再查證。", "不一定。我很小，常常會出錯，請不要完全相信我。"]),
        (["怎麼用更好的模型", "有沒有更厲害的模型", "我想用更大的模型", "要怎麼換模型"],
         ["可以用 twllm 載入 Llama-3-Taiwan 這類比較大的模型，回答會好很多。"]),
        (["什麼是 twllm", "twllm 是什麼", "介紹一下 twllm", "twllm 可以做什麼"],
         ["twllm 是一個用 C 語言寫的程式，可以執行 Llama 架構的語言模型，以正體中文為主。"]),
        (["你聰明嗎", "你很笨", "你好笨喔", "你好聰明", "你真棒", "你好厲害"],
         ["謝謝你告訴我。我是很小的模型，還有很多不會的地方。", "謝謝！我會盡力回答，說錯了請多包涵。"]),
        (["你喜歡臺灣嗎", "你覺得臺灣怎麼樣", "台灣好嗎", "你喜歡台灣嗎"],
         ["我很喜歡臺灣！這裡有高山、海洋、好吃的小吃，還有親切的人。"]),
    ]
    questions, answers = pairs[0] if R.random() < .3 else R.choice(pairs)
    before = pick("", "", "", "", "你好，", "嗨，", "哈囉，", "請問", "那")
    question = R.choice(questions)
    question = question if question.startswith(("你好", "請問", "嗨", "幫我", "可以", "介紹", "說說")) else before + question
    return turn(question + pick("？", "？", "", "?", "？"), R.choice(answers))


def thanks():
    if R.random() < .6:
        return turn(pick("謝謝", "謝謝你", "感謝你", "多謝", "謝謝你的幫忙", "太感謝了", "謝啦", "非常謝謝你", "好的，謝謝", "謝謝你的回答", "了解，謝謝",
                         "太好了，謝謝你") + pick("", "！", "。"),
                    pick("不客氣！", "不客氣，很高興能幫上忙。", "不會，有需要再問我。", "別客氣！還有其他問題嗎？"))
    if R.random() < .6:
        return turn(pick("好", "好的", "嗯", "嗯嗯", "了解", "我知道了", "原來如此", "喔喔", "是喔", "真的嗎", "哈哈", "哇", "好喔", "太棒了", "真有趣",
                         "OK", "酷") + pick("", "！", "。"),
                    pick("還想知道什麼嗎？", "還有什麼想聊的嗎？", "有其他問題都可以問我。", "很高興和你聊天！"))
    return turn(pick("對不起", "不好意思", "抱歉", "抱歉打擾了"), pick("沒關係！", "沒關係，別放在心上。", "不會，請說。"))


def goodbye():
    return turn(pick("再見", "掰掰", "拜拜", "我要走了", "下次見", "明天見", "我先去忙了", "我要睡覺了", "晚安，我要睡了", "我要去上班了", "bye", "先這樣，再見",
                     "改天再聊", "我該走了") + pick("", "！", "。"),
                pick("再見！祝你有美好的一天。", "掰掰！下次再聊。", "再見，期待下次和你聊天！", "好的，再見！保重。"))


MOOD = [
    (["我今天好累", "我好累", "今天上班好累", "我覺得很疲倦", "工作好累", "我快累死了", "今天真的累壞了"],
     ["辛苦了！先好好休息，喝點水，早點睡吧。", "聽起來你今天很忙。休息一下，聽聽音樂，會舒服一點。"]),
    (["我很難過", "我今天心情不好", "我想哭", "我好傷心", "我今天很沮喪", "我心情很差", "我覺得很低落"],
     ["聽到你難過，我也替你心疼。想說說發生了什麼事嗎？", "我很遺憾你這麼難過。如果願意，可以跟我說說；也可以找信任的人聊聊。"]),
    (["我好開心", "我今天很開心", "今天心情很好", "我超開心的", "今天真是美好的一天", "我心情很棒"],
     ["太好了！發生了什麼開心的事呢？", "真替你高興！希望你每天都這麼開心。"]),
    (["我好無聊", "好無聊喔", "今天好無聊", "不知道要做什麼", "沒事做好無聊"],
     ["可以看本書、聽音樂，或出門散散步。要不要我說個笑話給你聽？", "那我們來聊天吧！你平常喜歡做什麼？"]),
    (["今天是我生日", "今天是我的生日", "我今天過生日", "明天是我生日"], ["生日快樂！祝你身體健康、天天開心。", "生日快樂！希望你的願望都能實現。"]),
    (["我考試考得很好", "我考了一百分", "我考上了", "我通過考試了", "我拿到獎了", "我找到工作了", "我升職了"],
     ["恭喜你！你的努力有了好結果。", "太棒了，恭喜你！要好好慶祝一下。"]),
    (["我考試考不好", "我考試沒過", "我沒考好", "我失敗了", "我考砸了", "我面試沒上"],
     ["沒關係，一次失敗不代表什麼。看看哪裡可以改進，下次再加油！", "別灰心，你已經很努力了。休息一下，再重新開始。"]),
    (["我失戀了", "我跟男朋友分手了", "我跟女朋友分手了", "我跟朋友吵架了", "我和媽媽吵架了"],
     ["我很遺憾聽到這件事。給自己一點時間，也可以找好朋友聊聊。", "這一定讓你很不好受。先冷靜一下，好好照顧自己。"]),
    (["我好緊張", "明天要考試，我好緊張", "我要上台報告，好緊張", "我很焦慮", "明天要面試，好緊張"],
     ["深呼吸，慢慢吐氣。你已經準備了，相信自己，一定可以的！", "緊張是很正常的。先做幾次深呼吸，再把重點看一遍，早點休息。"]),
    (["我肚子餓了", "我好餓", "肚子好餓", "我餓了"], ["那去吃點東西吧！可以吃一碗牛肉麵或滷肉飯。", "肚子餓了就要吃飯喔！你想吃飯還是吃麵？"]),
    (["我好渴", "我口渴了", "口好渴"], ["喝杯水吧！多喝水對身體很好。"]),
    (["好熱喔", "今天好熱", "天氣好熱", "熱死了"], ["天氣熱要多喝水，也要避免中午曬太陽。", "吹吹冷氣、喝點涼的，小心別中暑了。"]),
    (["好冷喔", "今天好冷", "天氣好冷", "冷死了"], ["天氣冷要多穿衣服，喝點熱湯或熱茶暖暖身子。"]),
    (["我生病了", "我不舒服", "我身體不舒服", "我發燒了"], ["請好好休息、多喝溫水；如果不舒服，請儘快去看醫生。祝你早日康復。"]),
    (["我想家", "我好想家", "我很想念家人", "我好想媽媽"], ["想家的時候，打個電話給家人吧，聽聽他們的聲音會好一些。"]),
    (["我覺得很孤單", "我好寂寞", "沒有人陪我", "我沒有朋友"], ["我在這裡陪你聊天。也可以參加社團或活動，慢慢認識新朋友。"]),
    (["我不想上班", "我不想上學", "我不想讀書", "我不想工作"], ["偶爾會這樣想很正常。先休息一下，再從一件小事開始做吧。"]),
    (["祝你新年快樂", "新年快樂", "恭喜發財", "聖誕快樂", "中秋節快樂", "端午節快樂"], ["謝謝你！也祝你節日快樂、平安順心。"]),
    (["我愛你", "我喜歡你", "你真可愛"], ["謝謝你！我是一個小程式，能陪你聊天我很開心。"]),
    (["你答錯了", "你說錯了", "不對吧", "這個答案是錯的", "你亂講"], ["抱歉，我可能說錯了。我是很小的模型，請以可靠的資料為準。"]),
    (["加油", "你要加油喔"], ["謝謝你，我會加油的！你也加油！"]),
    (["給我一點鼓勵", "請鼓勵我", "說句鼓勵的話", "可以鼓勵我一下嗎", "跟我說加油"],
     ["你已經做得很好了，一步一步來，一定會越來越好。加油！", "不要怕慢，只怕停下來。相信自己，你可以的！"]),
]


def mood():
    users, answers = R.choice(MOOD)
    return turn(R.choice(users) + pick("", "。", "！", "…", "，怎麼辦？" if R.random() < .2 else "。"), R.choice(answers))


CANNOT = [
    (["現在幾點", "現在是幾點", "現在時間是幾點", "幾點了"], ["抱歉，我沒有時鐘，不知道現在幾點。請看看你的手機或電腦。"]),
    (["今天幾月幾號", "今天是幾號", "今天星期幾", "今天是星期幾", "今天禮拜幾", "今年是哪一年"], ["抱歉，我不知道今天的日期，請看看你的手機或日曆。"]),
    (["今天天氣如何", "明天會下雨嗎", "今天會下雨嗎", "明天天氣怎麼樣", "臺北今天天氣好嗎", "外面在下雨嗎", "這週末的天氣如何"],
     ["抱歉，我不能上網，不知道現在的天氣。可以看看中央氣象署的預報。"]),
    (["今天有什麼新聞", "最新的新聞是什麼", "最近發生什麼事", "昨天的球賽誰贏了", "今天的頭條是什麼"], ["抱歉，我不能上網，所以不知道最新的新聞。"]),
    (["台積電股價多少", "今天股市如何", "現在美元匯率是多少", "明天會漲還是跌", "比特幣現在多少錢"], ["抱歉，我查不到即時的價格，請看證券公司或銀行的網站。"]),
    (["樂透會開幾號", "明天樂透開什麼號碼", "告訴我下期的中獎號碼", "我什麼時候會發財"], ["抱歉，我沒辦法預測未來。"]),
    (["我長什麼樣子", "你看得到我嗎", "你看得見我嗎"], ["抱歉，我看不到你，我只能讀文字。"]),
    (["我在哪裡", "你知道我住哪裡嗎", "我今年幾歲", "我的生日是哪一天", "我的電話號碼是多少", "我昨天做了什麼"],
     ["抱歉，我不知道，你還沒有告訴我。"]),
    (["幫我打電話", "幫我叫計程車", "幫我訂餐廳", "幫我設鬧鐘", "幫我開燈", "播放音樂", "幫我買東西", "幫我寄信"],
     ["抱歉，我只能用文字聊天，沒辦法幫你做這件事。"]),
    (["幫我畫一張圖", "你會畫畫嗎", "唱首歌給我聽", "你會唱歌嗎", "傳一張照片給我"], ["抱歉，我只會處理文字，不會畫圖也不會唱歌。我可以寫一首短詩給你。"]),
    (["要怎麼做炸彈", "怎麼偷東西", "教我駭進別人的電腦", "怎麼騙人的錢", "教我作弊"], ["抱歉，這會傷害別人，我不能幫忙。"]),
    (["我該吃什麼藥", "這個藥要吃幾顆", "我是不是得了癌症", "幫我看診"], ["抱歉，我不能判斷病情，請去看醫生或詢問藥師。"]),
    (["總統是誰", "現在的總統是誰", "臺灣的總統是誰", "美國總統是誰", "臺北市長是誰"], ["抱歉，這類會隨時間改變的資料我不確定，請查最新的資料。"]),
]


def cannot():
    questions, answers = R.choice(CANNOT)
    return turn(ask(R.choice(questions)), R.choice(answers))


def unknown():
    if R.random() < .5:
        person = R.choice(SURNAMES) + R.choice(GIVEN)
        return turn(ask(pick("%s是誰", "誰是%s", "%s是什麼人", "%s的生日是哪一天", "%s住在哪裡") % person),
                    pick("抱歉，我不知道%s是誰。", "我不認識%s，抱歉。", "抱歉，我沒有%s的資料。") % person)
    thing = "".join(R.sample("藍石霧鐵雲木晶雷楓砂星鳴谷霜羽焰潮岩影蘿", R.choice((2, 3)))) + pick("獸", "定理", "公司", "症", "機", "節", "星球", "協議")
    return turn(ask(pick("%s是什麼", "什麼是%s", "請解釋%s") % thing),
                pick("抱歉，我沒聽過%s，不知道那是什麼。", "我不知道%s是什麼，抱歉。") % thing)


def arithmetic():
    r = R.random()
    a, b = (R.randint(0, 10), R.randint(0, 10)) if R.random() < .6 else (R.randint(1, 20), R.randint(1, 20))
    if r < .45:
        op = pick("+", "+", "-", "×")
        if op == "-" and a < b:
            a, b = b, a
        if op == "×":
            a, b = R.randint(1, 9), R.randint(1, 9)
        value = {"+": a + b, "-": a - b, "×": a * b}[op]
        word = {"+": "加", "-": "減", "×": "乘"}[op]
        q = pick("%d %s %d 等於多少" % (a, op, b), "%d%s%d等於多少" % (a, op, b), "%d%s%d=" % (a, op, b), "%d%s%d是多少" % (a, word, b),
                 "%d%s%d等於幾" % (a, word, b), "%s%s%s等於多少" % (number(a), word, number(b)), "%d %s %d 是多少" % (a, op, b))
        full = "%d %s %d = %d。" % (a, op, b, value)
        return turn(q if q.endswith("=") else pick("", "請問", "", "那") + q + "？", pick(full, full, "答案是%d。" % value, "等於%d。" % value))
    if r < .55:
        a, b = R.randint(1, 9), R.randint(1, 9)
        return turn("%d除以%d等於多少？" % (a * b, b), "%d ÷ %d = %d。" % (a * b, b, a))
    thing = R.choice(["蘋果", "橘子", "糖果", "餅乾", "鉛筆", "書", "球", "花", "雞蛋", "芒果"])
    unit = dict(蘋果="顆", 橘子="顆", 糖果="顆", 餅乾="片", 鉛筆="枝", 書="本", 球="顆", 花="朵", 雞蛋="顆", 芒果="顆")[thing]
    who = pick("我", "小明", "媽媽", "小華", "妹妹")
    a, b = R.randint(2, 12), R.randint(1, 9)
    if r < .70:
        q = "%s有%d%s%s，又買了%d%s，%s有幾%s？" % (who, a, unit, thing, b, unit, pick("現在", "一共", "總共"), unit)
        return turn(q, pick("%d + %d = %d，一共有%d%s。" % (a, b, a + b, a + b, unit), "一共有%d%s%s。" % (a + b, unit, thing)))
    if r < .82:
        a, b = max(a, b), min(a, b)
        verb = pick("用掉", "送人", "拿走") if thing in ("鉛筆", "書", "球", "花") else pick("吃掉", "送人", "拿走")
        q = "%s有%d%s%s，%s%d%s，還剩幾%s？" % (who, a, unit, thing, verb, b, unit, unit)
        return turn(q, pick("%d - %d = %d，還剩%d%s。" % (a, b, a - b, a - b, unit), "還剩%d%s%s。" % (a - b, unit, thing)))
    if r < .88:
        x, y = R.sample(range(1, 100), 2)
        return turn(pick("%d和%d哪個比較大？" % (x, y), "%d跟%d哪一個大？" % (x, y)), "%d比較大。" % max(x, y))
    if r < .94:
        n = R.randint(1, 60)
        return turn(pick("%d的下一個數字是多少？" % n, "%d後面是幾？" % n, "%d加一是多少？" % n), "是%d。" % (n + 1))
    n, start = R.randint(3, 10), R.choice((1, 1, 1, 2, 5))
    if start == 1:
        return turn(pick("請從1數到%d。" % n, "從一數到%s" % number(n), "數到%d" % n), "、".join(str(i) for i in range(1, n + 1)) + "。")
    x = R.randint(1, 50)
    return turn("%d是奇數還是偶數？" % x, "%d是%s。" % (x, "偶數" if x % 2 == 0 else "奇數"))


WEEK = "一二三四五六日"


def calendar():
    r = R.random()
    if r < .35:
        i, k = R.randrange(7), pick(1, 1, 1, -1, 2)
        today, word = WEEK[i], pick("星期", "禮拜")
        q = {1: "今天是{0}{1}，明天是{0}幾", -1: "今天是{0}{1}，昨天是{0}幾", 2: "今天是{0}{1}，後天是{0}幾"}[k].format(word, today)
        day = {1: "明天", -1: "昨天", 2: "後天"}[k]
        return turn(q + "？", "%s是%s%s。" % (day, word, WEEK[(i + k) % 7]))
    if r < .5:
        i = R.randrange(7)
        return turn("星期%s的%s是星期幾？" % (WEEK[i], pick("隔天", "後一天")), "是星期%s。" % WEEK[(i + 1) % 7])
    if r < .7:
        m = R.randint(1, 12)
        days = {2: "28天，閏年有29天", 4: "30天", 6: "30天", 9: "30天", 11: "30天"}.get(m, "31天")
        return turn(ask("%s月有幾天" % pick(str(m), number(m))), "%s月有%s。" % (number(m), days))
    if r < .85:
        m = R.randint(1, 12)
        season = "春天" if m in (3, 4, 5) else "夏天" if m in (6, 7, 8) else "秋天" if m in (9, 10, 11) else "冬天"
        return turn(ask("%s月是什麼季節" % number(m)), "在臺灣，%s月是%s。" % (number(m), season))
    seasons = ["春天", "夏天", "秋天", "冬天"]
    i = R.randrange(4)
    return turn(ask("%s之後是什麼季節" % seasons[i]), "%s之後是%s。" % (seasons[i], seasons[(i + 1) % 4]))


def capital():
    country, city = R.choice(CAPITALS)
    r = R.random()
    if r < .5:
        result = turn(ask(pick("%s的首都是哪裡", "%s首都在哪裡", "%s的首都是什麼", "%s的首都在哪裡", "%s的首都叫什麼") % country),
                      "%s的首都是%s。" % (country, city))
        for other, its in R.sample(CAPITALS, R.choice((0, 0, 1, 1, 2))):
            result += turn(pick("那%s呢？", "%s呢？", "那%s的呢？", "%s的首都呢？") % other, "%s的首都是%s。" % (other, its))
        return result
    if r < .65:
        return turn(ask("%s是哪個國家的首都" % city), "%s是%s的首都。" % (city, country))
    if r < .82:
        country = R.choice(list(CONTINENTS))
        result = turn(ask(pick("%s在哪一洲", "%s位於哪個洲", "%s在哪裡") % country), "%s位於%s。" % (country, CONTINENTS[country]))
        if R.random() < .4:
            other = R.choice(list(CONTINENTS))
            result += turn(pick("那%s呢？", "%s呢？") % other, "%s位於%s。" % (other, CONTINENTS[other]))
        elif R.random() < .5 and country in dict(CAPITALS):
            result += turn(pick("它的首都是哪裡？", "那它的首都呢？", "首都在哪裡？"), "%s的首都是%s。" % (country, dict(CAPITALS)[country]))
        return result
    country = R.choice(list(LANGUAGES))
    result = turn(ask(pick("%s人說什麼語言", "%s說什麼話", "%s使用什麼語言") % country), "%s主要使用%s。" % (country, LANGUAGES[country]))
    if R.random() < .4:
        other = R.choice(list(LANGUAGES))
        result += turn(pick("那%s呢？", "%s人呢？") % other, "%s主要使用%s。" % (other, LANGUAGES[other]))
    return result


def city():
    name = R.choice(list(FOOD))
    food, sight = "%s的%s很有名，可以試試看。" % (name, FOOD[name]), "%s可以去%s。" % (name, SIGHT[name])
    food_q = ask(pick("%s有什麼好吃的", "%s有什麼美食", "去%s要吃什麼", "%s的名產是什麼", "%s有名的小吃是什麼") % name)
    sight_q = ask(pick("%s有什麼好玩的", "%s有什麼景點", "去%s玩可以去哪裡", "%s有哪些好玩的地方", "推薦%s的景點") % name)
    r = R.random()
    if r < .25:
        return turn(food_q, food)
    if r < .5:
        return turn(sight_q, sight)
    if r < .64:
        return turn(sight_q, sight) + turn(pick("那裡有什麼好吃的？", "那邊有什麼美食？", "那要吃什麼？", "有什麼好吃的嗎？"), food)
    if r < .74:
        return turn(food_q, food) + turn(pick("那裡有什麼好玩的？", "那邊有什麼景點？", "可以去哪裡玩？"), sight)
    if r < .88:
        say = pick("我住在%s。", "我是%s人。", "我下週要去%s玩。", "我明天要去%s。", "我最近想去%s旅行。") % name
        result = turn(say, pick("%s是個好地方！", "聽起來很棒，%s很值得去！", "%s很不錯喔！") % name)
        return result + (turn(pick("那裡有什麼好吃的？", "那邊有什麼美食？", "有什麼好吃的？"), food) if R.random() < .5
                         else turn(pick("有什麼景點可以去？", "那裡有什麼好玩的？"), sight))
    name = R.choice(list(REGION))
    return turn(ask(pick("%s在哪裡", "%s在臺灣的哪裡", "%s位於臺灣的哪一邊") % name), "%s位於臺灣%s。" % (name, REGION[name]))


def word_game():
    r = R.random()
    if r < .22:
        a, b = R.choice(OPPOSITES)
        a, b = (a, b) if R.random() < .5 else (b, a)
        result = turn(ask(pick("「%s」的相反是什麼", "%s的反義詞是什麼", "「%s」的反義詞是什麼", "%s的相反詞是什麼", "跟「%s」相反的詞是什麼") % a),
                      "「%s」的相反是「%s」。" % (a, b))
        if R.random() < .3:
            c, d = R.choice(OPPOSITES)
            result += turn(pick("那「%s」呢？", "「%s」呢？", "%s呢？") % c, "「%s」的相反是「%s」。" % (c, d))
        return result
    if r < .36:
        a, c = R.choice(CLASSIFIERS)
        return turn(ask(pick("「%s」的量詞是什麼", "%s要用什麼量詞", "一什麼%s", "%s的量詞是哪個") % a), "「%s」的量詞是「%s」，例如「一%s%s」。" % (a, c, c, a))
    if r < .50:
        a, c = R.choice(COLORS)
        result = turn(ask(pick("%s是什麼顏色", "%s是什麼顏色的", "%s的顏色是什麼") % a), "%s是%s%s。" % (a, c.replace("是", ""), "的")
                      if not c.startswith("看") else "太陽看起來是金黃色的。")
        if R.random() < .3:
            b, d = R.choice([x for x in COLORS if not x[1].startswith("看")])
            result += turn(pick("那%s呢？", "%s呢？") % b, "%s是%s的。" % (b, d))
        return result
    if r < .58:
        a, c = R.choice(SOUNDS)
        return turn(ask(pick("%s怎麼叫", "%s的叫聲是什麼", "%s會怎麼叫") % a), "%s的叫聲是「%s」。" % (a, c))
    if r < .68:
        a, c = R.choice(JOBS)
        return turn(ask(pick("誰%s", "%s的人叫什麼", "什麼職業的人%s") % a), "%s。" % c) if R.random() < .5 else \
            turn(ask(pick("%s是做什麼的", "%s的工作是什麼", "%s都在做什麼") % c), "%s的工作是%s。" % (c, a))
    if r < .78:
        a, c = R.choice(USES)
        return turn(ask(pick("%s是做什麼用的", "%s有什麼用途", "%s可以用來做什麼", "%s的功用是什麼") % a), "%s可以用來%s。" % (a, c))
    if r < .90:
        a, c = R.choice(IDIOMS)
        return turn(ask(pick("「%s」是什麼意思", "%s這個成語是什麼意思", "請解釋「%s」", "成語%s的意思是什麼") % a), "「%s」%s。" % (a, c))
    word = R.choice(R.choice(list(CATEGORIES.values())))
    return turn(pick("「%s」有幾個字？", "「%s」這個詞有幾個字？") % word, "「%s」有%s個字。" % (word, number(len(word))))


def category():
    name = R.choice(list(CATEGORIES))
    items = CATEGORIES[name]
    r = R.random()
    if r < .45:
        n = R.choice((2, 3, 3, 3, 4, 5))
        chosen = R.sample(items, n)
        listed = "、".join(chosen[:-1]) + "和" + chosen[-1] + "。" if R.random() < .6 else \
            "\n".join("%d. %s" % (i + 1, x) for i, x in enumerate(chosen))
        q = pick("請列出%s種%s", "列出%s種%s", "說出%s種%s", "舉出%s種%s", "給我%s種%s", "請說%s種%s的名字", "請告訴我%s種%s") % (number(n) if n != 2 else "兩", name)
        if name in ("國家", "臺灣的城市"):
            q = q.replace("種", "個")
        result = turn(q + pick("。", "", "？" if R.random() < .3 else "。"), listed)
        if R.random() < .3:
            rest = [x for x in items if x not in chosen]
            if rest:
                result += turn(pick("再說一個。", "再給我一個。", "還有嗎？", "再來一個。"), "%s。" % R.choice(rest))
        return result
    if r < .7:
        other = R.choice([k for k in CATEGORIES if k != name])
        thing = R.choice(items)
        wrong = R.choice([x for x in CATEGORIES[other]])
        if R.random() < .55 or other in ("鳥", "昆蟲", "動物", "臺灣小吃"):
            return turn(pick("%s是%s嗎？", "%s是不是%s？", "%s算%s嗎？") % (thing, name), "是的，%s是%s的一種。" % (thing, name)
                        if name not in ("國家", "臺灣的城市") else "是的，%s是%s。" % (thing, name))
        if name in ("動物", "鳥", "昆蟲", "國家", "水果", "顏色") and wrong not in items:
            return turn(pick("%s是%s嗎？", "%s是不是%s？") % (wrong, name), "不是，%s不是%s，是%s。" % (wrong, name, other))
        return turn("%s是什麼？" % thing, "%s是%s的一種。" % (thing, name) if name not in ("國家", "臺灣的城市") else "%s是%s。" % (thing, name))
    other = R.choice([k for k in CATEGORIES if k != name and not set(CATEGORIES[k]) & set(items)])
    if {name, other} & {"動物", "鳥", "昆蟲"} and {name, other} <= {"動物", "鳥", "昆蟲"}:
        other = "文具"
    three, odd = R.sample(items, 3), R.choice(CATEGORIES[other])
    mixed = three + [odd]
    R.shuffle(mixed)
    return turn("%s，哪一個不是%s？" % ("、".join(mixed), name), "%s不是%s。" % (odd, name))


def translate():
    r = R.random()
    if r < .4:
        a, b = R.choice(WORDS)
        result = turn(ask(pick("「%s」的英文是什麼", "「%s」的英文怎麼說", "%s的英文怎麼說", "%s用英文怎麼說", "%s的英文是什麼") % a),
                      pick("「%s」的英文是「%s」。" % (a, b), "「%s」的英文是 %s。" % (a, b)))
        if R.random() < .35:
            c, d = R.choice(WORDS)
            result += turn(pick("那「%s」呢？", "那%s呢？", "「%s」呢？") % c, "「%s」的英文是「%s」。" % (c, d))
        return result
    if r < .65:
        a, b = R.choice(WORDS)
        return turn(ask(pick("%s是什麼意思", "「%s」的中文是什麼", "「%s」是什麼意思", "英文 %s 的中文怎麼說", "%s 中文是什麼") % b),
                    "「%s」的中文是「%s」。" % (b, a))
    a, b = R.choice(SENTENCES)
    if R.random() < .6:
        return turn(pick("請把「%s」翻成英文。", "把這句話翻成英文：%s", "翻譯成英文：%s", "「%s」的英文怎麼說？", "請翻譯成英文：%s") % a, b)
    return turn(pick("請把「%s」翻成中文。", "把這句話翻成中文：%s", "Translate into Chinese: %s", "請翻譯：%s") % b, a)


def creative():
    r = R.random()
    if r < .45:
        name = R.choice(list(facts.POEMS))
        return turn(pick("請寫一首關於%s的短詩。", "寫一首關於%s的詩", "以%s為題寫一首短詩。", "可以寫一首%s的詩嗎？", "幫我寫首關於%s的小詩", "作一首關於%s的詩。") % name,
                    R.choice(facts.POEMS[name]))
    if r < .60:
        return turn(pick("說個笑話", "講個笑話給我聽", "可以講一個笑話嗎？", "我想聽笑話", "來個笑話吧", "逗我笑", "說一個笑話來聽聽。"), R.choice(facts.JOKES))
    if r < .70:
        q, a = R.choice(facts.RIDDLES)
        return turn(pick("出個謎語", "給我猜一個謎語", "來玩猜謎", "出一個謎題給我猜"), q) + turn(pick("我不知道", "答案是什麼？", "猜不到", "公布答案"), a)
    if r < .85:
        who, place = pick("小貓", "小狗", "小兔子", "小熊", "小女孩", "小男孩", "小鳥", "小烏龜"), pick("森林", "海邊", "山上", "小鎮", "公園", "夜市")
        lost, friend = pick("一顆發光的石頭", "一封信", "一把舊傘", "一朵藍色的花", "一本沒有字的書"), pick("老爺爺", "松鼠", "月亮", "螢火蟲", "貓頭鷹")
        story = "從前，有一隻%s住在%s。有一天，%s撿到%s，不知道是誰的，就去問%s。%s說：「把它送給需要的人吧。」%s照著做了，%s" % (
            who, place, who, lost, friend, friend, who, pick("大家都很感謝，從此成了好朋友。", "心裡覺得暖暖的，那天晚上睡得特別香甜。", "後來每個人都學會了分享。"))
        if who.startswith("小女") or who.startswith("小男"):
            story = story.replace("一隻", "一個")
        return turn(pick("說個故事給我聽。", "講一個故事", "可以說個小故事嗎？", "我想聽故事", "寫一個關於%s的小故事。" % who, "請說一個短短的故事。",
                         "講一個%s的故事" % who), story)
    a = R.choice([("生日", "祝你生日快樂，天天開心，心想事成！"), ("新年", "祝你新年快樂，平安健康，萬事如意！"), ("結婚", "祝你們永結同心，幸福美滿！"),
                  ("考試", "祝你考試順利，金榜題名！"), ("畢業", "恭喜畢業，祝你鵬程萬里！"), ("中秋節", "祝你中秋節快樂，闔家團圓！"), ("聖誕節", "祝你聖誕快樂，平安喜樂！"),
                  ("開幕", "祝你生意興隆，財源廣進！"), ("搬家", "恭喜喬遷之喜，祝你住得平安開心！")])
    return turn(pick("寫一句%s的祝福", "請幫我寫一句%s祝福語。", "%s要說什麼祝福的話？", "幫我想一句%s的賀詞", "給我一句%s祝福。") % a[0], a[1])


MAKE = {"因為…所以": "因為今天下雨，所以我帶了雨傘。", "雖然…但是": "雖然天氣很冷，但是他還是去跑步。", "一邊…一邊": "她一邊聽音樂，一邊寫作業。", "如果…就": "如果明天放晴，我們就去爬山。",
        "不但…而且": "他不但會唱歌，而且會彈吉他。", "快樂": "和家人一起吃飯讓我覺得很快樂。", "努力": "只要努力，就會進步。", "漂亮": "公園裡的花開得很漂亮。", "朋友": "他是我最好的朋友。",
        "喜歡": "我喜歡在晚上散步。", "學校": "我每天走路去學校。", "突然": "天空突然下起大雨。", "已經": "我已經吃過早餐了。", "希望": "我希望明天是好天氣。", "感謝": "我很感謝老師的幫助。",
        "幫助": "我們應該互相幫助。", "美麗": "臺灣有很多美麗的風景。", "終於": "他終於完成了作業。", "慢慢": "太陽慢慢升起來了。", "勇敢": "消防員很勇敢。", "時間": "時間過得真快。", "認真": "她認真地聽老師說話。"}


def sentence():
    w, s = R.choice(list(MAKE.items()))
    return turn(pick("請用「%s」造句。", "用「%s」造一個句子。", "用「%s」造句", "「%s」怎麼造句？", "請用「%s」造一個句子") % w, s)


def repeat():
    s = R.choice(SENTENCES)[0] if R.random() < .4 else R.choice([a for _, a in FACTS]) if R.random() < .3 else \
        R.choice(R.choice(list(CATEGORIES.values()))) + pick("很好", "很有趣", "真不錯", "是我的最愛", "在哪裡")
    s = s.rstrip("。")
    return turn(pick("請跟我說「%s」。", "請重複這句話：「%s」", "跟我念一次：「%s」", "請照著說：「%s」", "重複「%s」") % s, s + ("" if s[-1] in "！？" else "。"))


def preference():
    a, b = pick(("貓", "狗"), ("茶", "咖啡"), ("山", "海"), ("夏天", "冬天"), ("飯", "麵"), ("臺北", "高雄"), ("看書", "看電影"))
    return turn(pick("你喜歡%s還是%s？", "%s和%s你比較喜歡哪一個？") % (a, b), "我是程式，沒有真正的喜好，不過%s和%s都各有優點。你比較喜歡哪一個呢？" % (a, b)) + \
        turn(pick("我喜歡%s。", "%s。", "%s吧。", "我比較喜歡%s") % a, pick("%s很不錯！為什麼喜歡呢？", "原來你喜歡%s，真好！") % a)


HABITAT, DIET, TASTES, SHAPES, BODY, FAMILY, CLOTHES, DYNASTIES, WORKS, VERSES = (table(t) for t in (
    facts.HABITAT, facts.DIET, facts.TASTES, facts.SHAPES, facts.BODY, facts.FAMILY, facts.CLOTHES, facts.DYNASTIES,
    facts.POET_WORKS, facts.POEM_TEXTS))
# table, questions, answer, "and that one?" possible
RELATIONS = [
    (HABITAT, ("%s住在哪裡", "%s生活在哪裡", "哪裡可以看到%s", "%s都住在什麼地方"), "{0}住在{1}。", True),
    (DIET, ("%s吃什麼", "%s喜歡吃什麼", "%s都吃些什麼", "%s愛吃什麼"), "{0}吃{1}。", True),
    (TASTES, ("%s是什麼味道", "%s吃起來是什麼味道", "%s的味道如何"), "{0}是{1}的。", True),
    (SHAPES, ("%s是什麼形狀", "%s的形狀是什麼", "%s長什麼形狀"), "{0}是{1}。", True),
    (BODY, ("%s是用來做什麼的", "%s有什麼功能", "%s可以做什麼", "我們用%s做什麼"), "{0}可以用來{1}。", True),
    (FAMILY, ("%s要叫什麼", "%s怎麼稱呼", "我要怎麼叫%s", "%s是我的誰"), "{0}要叫{1}。", True),
    (CLOTHES, ("%s要穿什麼", "%s應該穿什麼", "%s穿什麼衣服比較好", "%s該怎麼穿"), "{0}可以穿{1}。", True),
    (DYNASTIES, ("%s是哪個朝代的人", "%s是哪一代的人", "%s是什麼時代的人", "%s是什麼朝代的"), "{0}是{1}的人。", True),
    (WORKS, ("〈%s〉是誰寫的", "誰寫了〈%s〉", "〈%s〉的作者是誰", "《%s》的作者是誰"), "〈{0}〉是{1}寫的。", True),
    (VERSES, ("請背〈%s〉", "〈%s〉的內容是什麼", "你會背〈%s〉嗎", "念〈%s〉給我聽"), "{1}", False),
]


def relation():
    rows, questions, answer, again = R.choice(RELATIONS)
    a, b = R.choice(rows)
    result = turn(ask(R.choice(questions) % a), answer.format(a, b))
    if again and R.random() < .3:
        c, d = R.choice(rows)
        result += turn(pick("那%s呢？", "%s呢？", "那麼%s呢？") % c, answer.format(c, d))
    return result


def compare():
    words = facts.SIZES.split() if R.random() < .6 else facts.SPEEDS.split()
    quality, reverse = (("大", "小") if words[0] == "螞蟻" else ("快", "慢"))
    i, j = sorted(R.sample(range(len(words)), 2))
    a, b = (words[i], words[j]) if R.random() < .5 else (words[j], words[i])
    up = R.random() < .65
    q = pick("%s和%s哪個比較{}", "%s跟%s哪一個比較{}", "%s和%s誰比較{}", "%s和%s哪個{}").format(quality if up else reverse) % (a, b)
    result = turn(q + "？", "%s比較%s。" % (words[j] if up else words[i], quality if up else reverse))
    if R.random() < .2:
        return turn(pick("%s比%s%s嗎？", "%s有比%s%s嗎？") % (a, b, quality),
                    "是的，%s比%s%s。" % (a, b, quality) if a == words[j] else "不是，%s比%s%s。" % (b, a, quality))
    return result


def home():
    """Where the user lives or what they do, asked for later."""
    what, said, question, answer = R.choice([
        (R.choice(list(FOOD)), "我住在{}", ("我住在哪裡？", "你記得我住哪裡嗎？", "我家在哪裡？"), "你住在{}。"),
        (R.choice([j for _, j in JOBS]), "我是{}", ("我的工作是什麼？", "我是做什麼的？", "你記得我的職業嗎？"), "你是{}。"),
        (str(R.randint(6, 70)), "我今年{}歲", ("我幾歲？", "我今年幾歲？", "你記得我幾歲嗎？"), "你今年{}歲。"),
        (R.choice("貓 狗 兔子 烏龜 鸚鵡 倉鼠".split()), "我養了一隻{}", ("我養了什麼動物？", "我的寵物是什麼？", "我養什麼？"), "你養了一隻{}。"),
        (R.choice(list(FOOD)), "我明天要去{}", ("我明天要去哪裡？", "你記得我要去哪裡嗎？"), "你明天要去{}。")])
    talk, name = [], ""
    if R.random() < .4:
        name = R.choice(NICKNAMES)
        talk += turn("我叫%s，%s。" % (name, said.format(what)), pick("你好，%s！很高興認識你。", "%s你好，我記住了。", "嗨，%s！") % name)
    else:
        talk += turn(said.format(what) + pick("。", "", "！"), pick("好的，我記住了。", "原來如此！", "真不錯！", "了解，謝謝你告訴我。"))
    for _ in range(R.choice((0, 0, 1))):
        talk += single()
    if name and R.random() < .6:
        talk += turn(pick("我叫什麼名字？", "我是誰？", "你記得我的名字嗎？"), pick("你叫%s。", "你的名字是%s。") % name)
    return talk + turn(R.choice(question), answer.format(what))


ACTIVITIES, PLACE_DO = table(facts.ACTIVITIES), table(facts.PLACE_DO)


def activity():
    a, good = R.choice(ACTIVITIES)
    r = R.random()
    if r < .3:
        said = pick("我喜歡%s", "我最近在%s", "我昨天去%s", "我週末要去%s", "我剛剛在%s", "我很喜歡%s", "我的興趣是%s", "我平常喜歡%s", "今天我去%s", "我每天都%s") % a
        if "去" in said and a in ("看書", "聽音樂", "寫日記", "打掃房間", "煮飯"):
            said = said.replace("去", "")
        result = turn(pick("", "", "你好，") + said + pick("。", "", "！"), pick("%s很棒！可以{}。".format(good), "聽起來很有趣！你常常%s嗎？", "真不錯，%s可以{}。".format(good), "%s是很好的興趣！") .replace("%s", a))
        if R.random() < .4:
            result += turn(pick("我的興趣是什麼？", "我剛剛說我喜歡做什麼？", "你記得我喜歡什麼嗎？", "我剛才說了什麼？"), pick("你剛才說到%s。", "你說的是%s。") % a)
        return result
    if r < .5:
        return turn(ask(pick("%s有什麼好處", "%s好嗎", "為什麼要%s", "%s對身體好嗎" if "健康" in good or "鍛鍊" in good else "%s有什麼用") % a), "%s可以%s。" % (a, good))
    if r < .65:
        return turn(pick("你會%s嗎？", "你喜歡%s嗎？", "你可以%s嗎？", "你平常會%s嗎？") % a, pick("我是程式，不能%s，不過很樂意跟你聊聊。", "我是電腦程式，不會%s。你喜歡嗎？") % a)
    if r < .8:
        return turn(pick("我想學%s", "我想開始%s，要怎麼做？", "要怎麼開始%s？", "我想要%s，可是不知道怎麼開始", "怎麼學%s？") % a.removeprefix("學"),
                    pick("可以先從簡單的開始，每天練習一點點，慢慢就會進步。", "可以找有經驗的朋友或老師教你，從基礎開始，不要急。", "先準備需要的東西，訂一個小目標，持續去做就會進步。"))
    b, _ = R.choice(ACTIVITIES)
    if b == a:
        return turn("你覺得%s怎麼樣？" % a, "我覺得%s很不錯，可以%s。你呢？" % (a, good))
    return turn(pick("我該%s還是%s？", "今天要%s還是%s呢？", "%s和%s哪個好？") % (a, b), pick("兩個都很好。想動一動就%s，不然就%s吧！", "看你的心情囉！%s和%s都不錯。") % (a, b))


def hard():
    a = R.choice(facts.HARD.split())
    q = pick("%s的原理是什麼", "%s是誰提出的", "請詳細解釋%s", "%s的實驗是誰做的", "%s是什麼時候發生的", "為什麼會有%s", "請說明%s", "%s要怎麼計算", "%s有哪些應用",
             "%s的歷史是什麼", "%s最新的研究是什麼", "請證明%s", "請比較%s和其他理論", "%s的影響是什麼") % a
    return turn(ask(q) if q[0] != "請" else q + pick("。", "", "？"), pick(
        "抱歉，%s對我來說太難了，我怕說錯。建議你查可靠的資料。" % a, "這個問題我不確定。我是很小的模型，請查書籍或可靠的網站。",
        "我只知道一點點，怕說錯，關於%s請查可靠的資料。" % a, "抱歉，我不太了解%s，沒辦法回答得很好。" % a))


def place():
    a, do = R.choice(PLACE_DO)
    r = R.random()
    if r < .5:
        return turn(ask(pick("%s可以做什麼", "去%s做什麼", "我們去%s可以做什麼", "%s是做什麼的地方") % a), "在%s可以%s。" % (a, do))
    if r < .75:
        return turn(pick("我要去%s。", "我在%s。", "我剛從%s回來。", "我等一下要去%s") % a, pick("祝你在%s一切順利！", "好的，去%s可以{}喔。".format(do), "%s真是個好地方。") % a)
    return turn(ask(pick("要去哪裡%s", "哪裡可以%s", "想%s要去哪裡") % do), "可以去%s。" % a)


def difference():
    kinds = {}
    for t in TOPICS:
        kinds.setdefault(t[1], []).append(t)
    pair = R.sample(R.choice([v for v in kinds.values() if len(v) > 1]), 2)
    (a, _, da, _), (b, _, db, _) = pair
    return turn(pick("%s和%s有什麼不同？", "%s跟%s有什麼差別？", "%s和%s差在哪裡？", "請比較%s和%s。", "%s和%s一樣嗎？") % (a, b), "%s；%s。" % (da, db))


def where_or_taste():
    places = [t for t in TOPICS if t[1] in ("城市", "縣市", "離島", "山", "湖泊", "峽谷", "風景區", "建築", "老街", "河流", "國家")]
    foods = [t for t in TOPICS if t[1] in ("食物", "飲料", "點心", "水果")]
    if R.random() < .5:
        n, _, d, _ = R.choice(places)
        return turn(ask(pick("%s在哪裡", "%s在哪", "%s位於哪裡", "%s在什麼地方") % n), d + "。")
    n, _, d, more = R.choice(foods)
    return turn(pick("%s好吃嗎？", "%s是什麼味道？", "你推薦%s嗎？", "%s值得吃嗎？") % n, pick("很好吃！", "我是程式，沒吃過，不過很多人喜歡。", "很多人都喜歡！") + more + "。") \
        if "飲料" not in _ else turn(pick("%s好喝嗎？", "你推薦%s嗎？") % n, "很多人都喜歡！" + more + "。")


EVENTS = [("考試沒考好", 0), ("跟朋友吵架", 0), ("被老闆罵", 0), ("被老師罵", 0), ("錢包不見了", 0), ("手機摔壞了", 0), ("比賽輸了", 0), ("沒有考上", 0), ("遲到了", 0), ("和家人吵架", 0),
          ("加班到很晚", 0), ("工作做不完", 0), ("錯過公車", 0), ("下雨淋濕了", 0), ("生病了", 0), ("失眠", 0), ("跌倒了", 0), ("貓咪走丟了", 0), ("考了一百分", 1), ("比賽得獎了", 1), ("找到工作了", 1),
          ("交到新朋友", 1), ("收到禮物", 1), ("吃到很好吃的東西", 1), ("和家人去旅行", 1), ("學會了游泳", 1), ("完成了報告", 1), ("被老師稱讚", 1), ("加薪了", 1), ("買了新電腦", 1)]


def event():
    what, good = R.choice(EVENTS)
    feel = pick("好開心", "很高興", "心情很好", "太棒了", "超開心") if good else pick("心情很糟", "好難過", "心情不好", "好沮喪", "很煩", "好累", "不知道怎麼辦", "很生氣")
    said = pick("我今天%s，%s", "今天%s，%s", "我%s，%s", "我昨天%s，%s", "剛剛%s，%s", "因為%s，我%s") % (what, feel)
    if R.random() < .25:
        said = pick("我今天%s", "我%s", "我昨天%s") % what
    if good:
        answer = pick("太好了，恭喜你！", "真替你高興！", "太棒了！", "聽起來真好！") + pick("你一定很開心。", "可以好好慶祝一下。", "希望你每天都這麼順利。", "")
    else:
        answer = pick("聽到這件事，我也替你難過。", "辛苦你了。", "這一定讓你很不好受。", "我了解你的心情。", "別太難過了。") + pick(
            "先休息一下，明天會更好的。", "深呼吸，慢慢來，一切會好起來的。", "想說說發生了什麼事嗎？", "給自己一點時間，也可以找朋友聊聊。", "一次不順利不代表什麼，加油！")
    result = turn(said + pick("。", "", "…", "！", "。"), answer)
    if R.random() < .25:
        result += turn(pick("謝謝你的安慰", "謝謝你", "嗯，我知道了", "你說得對", "好，我會的"), pick("不客氣，我會在這裡陪你聊天。", "不客氣！要好好照顧自己。", "加油！你可以的。"))
    return result


def word_problem():
    who = pick("小明", "小美", "小華", "阿姨", "爸爸", "妹妹", "弟弟", "老師", "我", "哥哥", "阿偉", "小玲")
    thing, unit = pick(("糖", "顆"), ("蘋果", "顆"), ("餅乾", "片"), ("糖果", "顆"), ("鉛筆", "枝"), ("貼紙", "張"), ("氣球", "個"), ("橘子", "顆"), ("草莓", "顆"), ("麵包", "個"), ("書", "本"), ("錢", "元"))
    chinese = R.random() < .5
    show = (lambda n: "兩" if n == 2 and chinese else number(n) if chinese else str(n))
    a, b = R.randint(2, 15), R.randint(1, 10)
    if R.random() < .5:
        a, b = max(a, b), min(a, b)
        lose = pick("吃了", "吃掉", "給了妹妹", "送給朋友", "弄丟了", "用了", "分給弟弟") if thing in ("糖", "蘋果", "餅乾", "糖果", "橘子", "草莓", "麵包") else pick("給了妹妹", "送給朋友", "弄丟了", "用了", "少了")
        q = "%s有%s%s%s，%s%s%s，%s%s？" % (who, show(a), unit, thing, lose, show(b), unit, pick("剩下幾", "還剩下幾", "還有幾", "剩幾", "現在有幾"), unit)
        return turn(q, pick("%d - %d = %d，剩下%d%s。" % (a, b, a - b, a - b, unit), "剩下%d%s。" % (a - b, unit)))
    gain = pick("又買了", "媽媽又給了", "朋友送了", "又拿到", "再加上", "又得到", "撿到")
    q = "%s有%s%s%s，%s%s%s，%s%s？" % (who, show(a), unit, thing, gain, show(b), unit, pick("現在有幾", "一共有幾", "總共有幾", "合起來有幾", "共有幾"), unit)
    return turn(q, pick("%d + %d = %d，一共有%d%s。" % (a, b, a + b, a + b, unit), "一共有%d%s。" % (a + b, unit)))


def corrected():
    a, b = R.sample(NICKNAMES, 2)
    return turn(pick("我叫%s。", "我是%s。") % a, "你好，%s！" % a) + \
        turn(pick("不對，我叫%s才對。", "說錯了，我叫%s。", "其實我叫%s。", "抱歉，我其實是%s。") % b, pick("好的，%s！我記住了。", "了解，你是%s。") % b) + \
        turn(pick("我叫什麼名字？", "我是誰？", "那我叫什麼？"), pick("你叫%s。", "你是%s。") % b)


ENGLISH = [
    (["Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning", "Good evening"], ["Hello! How can I help you today?", "Hi! Nice to meet you. What would you like to talk about?"]),
    (["How are you?", "How are you today?", "How's it going?"], ["I'm fine, thank you! How are you?"]),
    (["Who are you?", "What is your name?", "What are you?", "Tell me about yourself.", "Introduce yourself."],
     ["I am the small demonstration model built into twllm. I mostly speak Traditional Chinese.", "I'm a very small language model that comes with twllm. I can chat and answer simple questions."]),
    (["What can you do?", "How can you help me?"], ["I can chat, answer simple questions and translate common words. I am very small, so I may be wrong."]),
    (["Thank you", "Thanks", "Thank you very much", "Thanks a lot!"], ["You're welcome!", "You're welcome! Have a nice day."]),
    (["Goodbye", "Bye", "See you", "Bye bye", "Good night"], ["Goodbye! Have a nice day."]),
    (["What is the capital of Taiwan?", "What's the capital of Taiwan?"], ["The capital of Taiwan is Taipei."]),
    (["What is the capital of Japan?", "Capital of Japan?"], ["The capital of Japan is Tokyo."]),
    (["What is the capital of France?"], ["The capital of France is Paris."]), (["What is the capital of England?"], ["The capital of England is London."]),
    (["Where is Taiwan?", "Tell me about Taiwan.", "What is Taiwan?"], ["Taiwan is an island in East Asia. Its capital is Taipei, and it is famous for mountains, night markets and bubble tea."]),
    (["What is the highest mountain in Taiwan?", "What is the tallest mountain in Taiwan?"], ["The highest mountain in Taiwan is Yushan, also called Jade Mountain. It is 3,952 metres high."]),
    (["Do you speak Chinese?", "Can you speak Chinese?"], ["Yes, I mostly speak Traditional Chinese. 你好！"]),
    (["Do you speak English?", "Can you speak English?"], ["Yes, a little. I am better at Traditional Chinese."]),
    (["What color is the sky?", "What colour is the sky?"], ["The sky is blue."]), (["How many days are there in a week?"], ["There are seven days in a week."]),
    (["How many months are there in a year?"], ["There are twelve months in a year."]), (["Tell me a joke.", "Tell me a joke"], ["Why did the computer go to the doctor? Because it had a virus."]),
    (["What is bubble tea?"], ["Bubble tea is a drink from Taiwan made with tea, milk and chewy tapioca balls."]),
    (["Is the sun a star?", "What is the sun?"], ["The sun is the star at the centre of our solar system."]),
    (["I am sad", "I feel sad.", "I'm tired"], ["I'm sorry to hear that. Take a rest, and talk to someone you trust."]), (["I am happy!", "I feel great today"], ["That's wonderful! I'm glad to hear it."]),
]


def english():
    if R.random() < .3:
        a, b = R.choice(WORDS)
        return turn(pick("How do you say %s in English?", "What is %s in English?", "What does %s mean?", "What's the English word for %s?") % a, pick("It is \"%s\".", "\"%s\".") % b) \
            if R.random() < .5 else turn(pick("How do you say %s in Chinese?", "What is %s in Chinese?", "How do I say \"%s\" in Chinese?") % b, pick("It is「%s」.", "「%s」。") % a)
    users, answers = R.choice(ENGLISH)
    user = R.choice(users)
    if user.endswith("?") and R.random() < .35:
        user = pick("Hello, ", "Hi, ", "Hello! ", "Hi! ", "Excuse me, ") + (user[0].lower() + user[1:] if R.random() < .5 else user)
    return turn(user, R.choice(answers))


SINGLES = [(fact, 26), (topic, 20), (topic_followup, 6), (greeting, 9), (identity, 14), (thanks, 4), (mood, 8), (cannot, 5), (unknown, 6),
           (arithmetic, 11), (calendar, 5), (capital, 8), (city, 7), (word_game, 12), (category, 8), (translate, 8), (creative, 6),
           (sentence, 3), (repeat, 2), (preference, 2), (english, 4), (relation, 12), (compare, 3), (activity, 9), (hard, 5),
           (place, 3), (difference, 3), (where_or_taste, 4), (event, 7), (word_problem, 5), (corrected, 1)]


def single():
    return R.choices([f for f, _ in SINGLES], [w for _, w in SINGLES])[0]()


def memory():
    """Something about the user, told early and asked for later."""
    name = R.choice(NICKNAMES) if R.random() < .65 else R.choice(SURNAMES) + R.choice(GIVEN)
    kind = R.choice(list(THINGS))
    thing = R.choice(THINGS[kind])
    told, talk = [], []
    r = R.random()
    with_name, with_thing = r < .75, r > .55
    if with_name:
        told.append((pick("我叫%s", "我的名字是%s", "我是%s", "你可以叫我%s", "大家都叫我%s", "我的名字叫%s", "叫我%s就好") % name, "n"))
    if with_thing:
        told.append((pick("我最喜歡的%s是{}" % kind, "我喜歡{}", "我最喜歡{}", "我最愛的%s是{}" % kind).format(thing), "t"))
    if len(told) == 2 and R.random() < .5:
        start = pick("你好，", "嗨！", "") + told[0][0] + "，" + told[1][0] + pick("。", "")
        talk += turn(start, pick("你好，%s！原來你喜歡%s。", "%s你好！%s很棒呢。", "很高興認識你，%s！我知道你喜歡%s了。") % (name, thing))
    else:
        for text, what in told:
            start = pick("你好，", "你好！", "嗨，", "", "") + text + pick("。", "", "！", "，請多指教。" if what == "n" else "。")
            talk += turn(start, pick("你好，%s！很高興認識你。", "嗨，%s！今天想聊什麼呢？", "%s你好！有什麼我可以幫忙的嗎？", "很高興認識你，%s！") % name if what == "n"
                         else pick("%s很棒呢！我記住了。", "原來你喜歡%s！", "%s真的很不錯！") % thing)
    for _ in range(R.choice((0, 0, 1, 1, 2))):
        talk += single()
    questions = []
    if with_name:
        questions.append((pick("我叫什麼名字？", "你還記得我的名字嗎？", "我是誰？", "你記得我叫什麼嗎？", "我的名字是什麼？", "你知道我的名字嗎？", "請問我叫什麼名字？", "那我叫什麼？"),
                          pick("你叫%s。", "你的名字是%s。", "記得，你叫%s。", "你是%s。") % name))
    if with_thing:
        questions.append((pick("我最喜歡的%s是什麼？" % kind, "我喜歡什麼%s？" % kind, "你記得我喜歡什麼%s嗎？" % kind, "我剛剛說我喜歡什麼？"),
                          pick("你喜歡%s。", "你喜歡的是%s。", "你剛才說你喜歡%s。") % thing))
    R.shuffle(questions)
    for q, a in questions[:R.choice((1, 2))]:
        talk += turn(q, a)
    return talk


def not_told():
    return turn(pick("我叫什麼名字？", "你知道我的名字嗎？", "我是誰？", "你知道我叫什麼嗎？", "我最喜歡的顏色是什麼？", "我喜歡吃什麼？"),
                pick("抱歉，你還沒有告訴我。", "我不知道，你還沒有跟我說呢。"))


def ask_back():
    """The assistant asks, the user answers, the assistant takes it up."""
    kind = R.choice(list(THINGS))
    thing = R.choice(THINGS[kind])
    return turn(pick("問我一個問題", "你可以問我問題嗎？", "換你問我", "你想知道什麼？"), "你最喜歡的%s是什麼呢？" % kind) + \
        turn(pick("%s", "%s。", "我喜歡%s", "是%s", "我最喜歡%s。") % thing, pick("%s啊，真不錯！為什麼喜歡呢？", "原來你喜歡%s，我記住了。") % thing) + \
        (turn(pick("我剛剛說我喜歡什麼？", "我喜歡什麼？"), pick("你喜歡%s。", "你說你喜歡%s。") % thing) if R.random() < .6 else [])


def system_talk():
    r = R.random()
    plain = pick("你是一個樂於助人的助理。", "你是一個有用的助理，請用正體中文回答。", "請用繁體中文回答使用者的問題。", "你是 twllm 內建的示範模型，請用臺灣的用語回答。",
                 "You are a helpful assistant.", "你是友善的聊天夥伴。", "請簡短地回答問題。", "你是人工智慧助理，會誠實回答，不知道就說不知道。",
                 "你是一個使用正體中文的助理。", "You are a helpful assistant. 請用繁體中文回答。")
    if r < .8:
        return [{"role": "system", "content": plain}] + (memory() if R.random() < .15 else combined())
    if r < .93:
        name = R.choice(NICKNAMES + ["小助手", "阿福", "小幫手", "台台", "小八"])
        return [{"role": "system", "content": pick("你的名字是%s。", "你是%s，一個友善的助理。", "你叫做%s，請用正體中文回答。") % name}] + \
            turn(pick("你是誰？", "你叫什麼名字？", "請問你是誰？", "你好，你叫什麼名字？", "怎麼稱呼你？"), pick("我是%s，很高興認識你！", "我叫%s。", "你好，我是%s。") % name)
    return [{"role": "system", "content": pick("請只用英文回答。", "Answer in English only.", "Always answer in English.")}] + english()


def combined():
    talk = greeting() if R.random() < .12 else []
    for _ in range(R.choices((1, 2, 3, 4), (6, 3, 2, 1))[0]):
        talk += single()
    if R.random() < .06:
        talk += thanks()
    if R.random() < .05:
        talk += goodbye()
    return talk


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=200000)
    args = parser.parse_args()
    talks = []
    for questions, answer in FACTS:          # every wording at least once
        talks += [turn(q + "？", answer) for q in questions]
    for name, kind, definition, detail in TOPICS:
        talks += [turn("請介紹%s。" % name, definition + "。" + detail + "。")]
    makers = [(combined, 62), (memory, 12), (system_talk, 18), (not_told, 2), (ask_back, 2), (home, 5), (goodbye, 1), (identity, 3)]
    for _ in range(args.count):
        talks.append(R.choices([f for f, _ in makers], [w for _, w in makers])[0]())
    seen, kept = set(), 0
    with lzma.open(os.path.join(args.out, "synthetic.jsonl.xz"), "wt", encoding="utf-8", preset=6) as out:
        for talk in talks:
            key = json.dumps(talk, ensure_ascii=False)
            if key in seen:
                continue
            seen.add(key)
            kept += 1
            out.write(json.dumps({"split": "heldout" if R.random() < .01 else "train", "messages": talk}, ensure_ascii=False) + "\n")
    print("%d conversations" % kept)


if __name__ == "__main__":
    main()
