"""What schemathesis is told when test_openapi.py runs it.

What the document cannot say is left to the server: a request whose fields are each of their type may still be refused
when they contradict each other or the model (a token id beyond the vocabulary, two grammars at once). Such refusals name
a field of the list below; any other refusal of an allowed request is a failure."""
import json

import schemathesis
from schemathesis.generation import GenerationMode

# Fields whose value may be of its type and yet not acceptable, and why.
BY_MEANING = {
    # ids are below the size of the vocabulary; its size is the model's
    "prompt", "input", "tokens", "logit_bias", "stop_token_ids", "stop_token_sequences", "allowed_token_ids", "bad_words",
    # conversations: who may call tools, which parts belong to which role
    "messages", "system", "chat_template_kwargs", "documents", "instructions",
    # schemas, expressions and grammars are read by their own compilers, and exclude each other
    "response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "guided_whitespace_pattern", "whitespace_pattern", "text", "format", "grammar", "tools", "tool_choice",
    # need or exclude other fields
    "top_logprobs", "logprobs", "prompt_logprobs", "echo", "best_of", "stream_options", "max_tokens", "n", "num_beams",
    "early_stopping", "use_beam_search", "decoder_input_details", "typical_p", "top_p", "min_tokens", "stop",
    "dry_sequence_breakers", "frequency_penalty", "presence_penalty", "dry_multiplier", "xtc_probability",
    # the model's size
    "dimensions", "num_ctx", "model", "request", "truncate", "inputs", "truncate_prompt_tokens",
}
MOST_TOKENS = 8


@schemathesis.hook
def map_body(context, body):
    """Answers stay short, and a model is asked for that is there."""
    if isinstance(body, dict):
        if isinstance(body.get("model"), str):
            body["model"] = "twllm-default"
        for place in (body, body.get("options"), body.get("parameters")):
            for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens",
                         "min_tokens", "n"):
                if isinstance(place, dict) and isinstance(place.get(name), int) and place[name] > MOST_TOKENS:
                    place[name] = MOST_TOKENS
    return body


def named_field(response):
    body = json.loads(response.content)
    error = body.get("error")
    if isinstance(error, dict) and error.get("param"):
        name = error["param"]
    else:
        name = error if isinstance(error, str) else error["message"]
        if "maximum context length" in name:
            return "inputs"
        name = name.removeprefix("options: ").removeprefix("options.").removeprefix("unknown field ").strip('"')
    return name.replace("[", ".").replace(":", ".").replace(" ", ".").split(".")[0]


@schemathesis.check
def refusals_of_allowed_requests_name_a_field(context, response, case):
    if response.status_code in (400, 422) and case.meta.generation.mode == GenerationMode.POSITIVE:
        assert named_field(response) in BY_MEANING, f"refused: {response.content.decode()}"
