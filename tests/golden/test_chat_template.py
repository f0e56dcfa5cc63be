"""Chat templates against transformers' own rendering, byte for byte: the project's templates and, where they are at
hand, the published ones; each over random conversations from a fixed seed. Where transformers raises, ours must fail
too, and with the same sentence when the template itself raised it."""
import json
import os
import pathlib

import pytest

pytest.importorskip("transformers")

from chat_template_oracle import render_ours, render_theirs, requests  # noqa: E402
from conftest import SHARED  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OWN = sorted((HERE / "templates").glob("*.jinja"))
PUBLISHED = pathlib.Path(os.environ.get("TWLLM_CHAT_TEMPLATES") or SHARED / "data" / "chat-templates")


def published():
    """(name, template) of every published template in the folder."""
    out = []
    for path in sorted(PUBLISHED.rglob("*")) if PUBLISHED.is_dir() else []:
        if path.suffix == ".jinja":
            out.append((path.name, path.read_text(encoding="utf-8")))
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            template = content.get("chat_template") if isinstance(content, dict) else None
            for entry in template if isinstance(template, list) else [{"name": "", "template": template}]:
                if entry["template"]:
                    out.append((path.name + entry["name"], entry["template"]))
    return out


def compare(probe_path, monkeypatch, name, template, count):
    batch = requests(template, count, seed=name)
    n_texts, problems = 0, []
    for request, ours in zip(batch, render_ours(probe_path, batch)):
        theirs = render_theirs(request, monkeypatch)
        n_texts += "text" in theirs
        same = ours.get("text") == theirs.get("text")
        if theirs.get("raised"):
            same = ours.get("status") == "INVALID" and ours["error"] == theirs["error"]
        if not same:
            del request["template"]
            problems.append(f"ours   {ours}\ntheirs {theirs}\n{json.dumps(request, ensure_ascii=False)}")
    assert not problems, f"{len(problems)} of {count} differ\n" + "\n".join(problems[:2])
    return n_texts


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.name)
def test_own_template(probe, monkeypatch, path):
    n_texts = compare(probe("probe_chat_template"), monkeypatch, path.name, path.read_text(encoding="utf-8"), 400)
    assert n_texts > 40  # the comparison is about something


def test_published_templates(probe, monkeypatch):
    templates = published()
    if not templates:
        pytest.skip(f"no published templates at {PUBLISHED} (set TWLLM_CHAT_TEMPLATES)")
    if len(templates) > 40:  # the whole set of scripts/ensure-templates.sh
        for family in ("Llama3-Instruct", "Llama-3.1", "Llama-3.2", "Llama-3.3", "ChatML", "Hermes-2-Pro-Llama-3",
                       "Hermes-3-Llama-3.1", "Mistral-7B-Instruct", "DeepSeek-R1-Distill-Llama"):
            assert any(family in name for name, _ in templates), f"no template of {family} among those compared"
    for name, template in templates:
        compare(probe("probe_chat_template"), monkeypatch, name, template, 60)
