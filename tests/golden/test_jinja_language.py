"""The template language against jinja2 itself, in the environment that transformers builds: random expressions and
random templates render the same text, or both fail.

Not compared: texts that hold a machine address in Python (a printed generator, method or macro), and cases where ours
refuses what it documents as outside its range (integers beyond 64 bits, complex numbers)."""
import copy
import random
import re
import signal

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("transformers")

from chat_template_oracle import render_ours  # noqa: E402
from jinja_generator import CONTEXT, Generator  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

EXPRESSIONS = 20000
TEMPLATES = 1000
BATCH = 2500
# What Python prints for values without a text of their own.
ADDRESS = re.compile(r"0x[0-9a-f]{6,}|object at|<bound method|<built-in method|<function|Undefined\.__|Markup\(|LoopContext")
# Ours refuses: integers beyond 64 bits, complex numbers, what the budgets forbid, and slices that fail (which
# jinja2's constant folder turns into an undefined value when all is literal, though they fail for a variable).
DOCUMENTED = re.compile(r"64 bits|complex numbers|not supported in templates|too big|budget|cannot be sliced|slice indices must")


class TookTooLong(BaseException):
    """Python computes n ** (m ** 1_000) for as long as it is let."""


def give_up(*_):
    raise TookTooLong


def theirs(source):
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        # A copy: some filters (indent, on a list) change what they are given.
        return {"text": chat_template_utils._cached_compile_jinja_template(source).render(**copy.deepcopy(CONTEXT))}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    except TookTooLong:
        return {"error": "took too long"}  # ours has to refuse it as well
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def compare(probe_path, sources):
    requests = [{"template": s, "extra": CONTEXT} for s in sources]
    different, n_texts, n_skipped = [], 0, 0
    for source, ours in zip(sources, render_ours(probe_path, requests)):
        expected = theirs(source)
        if "text" in expected and ADDRESS.search(expected["text"]):
            n_skipped += 1
        elif "text" in expected and "error" in ours and DOCUMENTED.search(ours["error"]):
            n_skipped += 1
        elif "escape" in source and "expected a string" in ours.get("error", ""):
            n_skipped += 1  # markupsafe's Markup turns arguments of its methods into text; ours is a plain string
        elif ours.get("text") != expected.get("text"):
            different.append(f"{source!r}\n   ours   {ours}\n   theirs {expected}")
        else:
            n_texts += "text" in expected
    return different, n_texts, n_skipped


@pytest.mark.parametrize("batch", range(EXPRESSIONS // BATCH))
def test_expressions(probe, batch):
    generator = Generator(1000 + batch)
    sources = ["{{ " + generator.expression() + " }}" for _ in range(BATCH)]
    different, n_texts, n_skipped = compare(probe("probe_chat_template"), sources)
    assert not different, f"{len(different)} differ:\n" + "\n".join(different[:5])
    assert n_texts > BATCH / 4 and n_skipped < BATCH / 10  # the comparison is about something


def test_templates(probe):
    generator = Generator(77)
    sources = [generator.template() for _ in range(TEMPLATES)]
    different, n_texts, n_skipped = compare(probe("probe_chat_template"), sources)
    assert not different, f"{len(different)} differ:\n" + "\n".join(different[:5])
    assert n_texts > TEMPLATES / 8 and n_skipped < TEMPLATES / 10


def test_rounding_of_integers(probe):
    rng = random.Random(3)
    numbers = [2**63 - 1, -(2**63) + 1, 0, 5, 15, 25, -5, -15, 9 * 10**18, -9 * 10**18, 5 * 10**18, -5 * 10**18]
    numbers += [rng.randrange(-(2**63) + 1, 2**63) for _ in range(500)] + [rng.randrange(-1000, 1000) for _ in range(300)]
    sources = ["{{ (%d)|round(%d) }}" % (n, rng.randrange(-22, 3)) for n in numbers for _ in range(3)]
    different, n_texts, _ = compare(probe("probe_chat_template"), sources)
    assert not different and n_texts > len(sources) * 0.9, different[:5]
