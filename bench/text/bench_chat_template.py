"""The peer of bench_chat_template.c: transformers' jinja2 environment on the same conversation.

    python3 bench/text/bench_chat_template.py [template.jinja [messages [runs]]]
"""
import pathlib
import sys
import time

from transformers.utils import chat_template_utils

path = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/templates/llama3-tools.jinja"
n_messages = int(sys.argv[2]) if len(sys.argv) > 2 else 100
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 500
messages = [{"role": "system", "content": "You are a helpful assistant."}]
for i in range(1, n_messages):
    text = f"  Message {i}: 台北的天氣 is fine, and this sentence goes on for a while to be of a usual length. "
    messages.append({"role": "user" if i % 2 else "assistant", "content": text})

source = pathlib.Path(path).read_text(encoding="utf-8")
start = time.perf_counter()
template = chat_template_utils._cached_compile_jinja_template(source)
compiled = time.perf_counter() - start
times = []
for _ in range(runs):
    start = time.perf_counter()
    out = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True,
                          bos_token="<s>", eos_token="</s>")
    times.append(time.perf_counter() - start)
times.sort()
print(f"{path}: {n_messages} messages, {len(out.encode())} bytes; compile {compiled * 1e6:.0f} us, "
      f"render min {times[0] * 1e6:.0f} us, median {times[runs // 2] * 1e6:.0f} us")
