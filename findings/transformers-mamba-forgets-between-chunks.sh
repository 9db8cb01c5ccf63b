#!/usr/bin/env bash
# transformers 5.23.0 with torch 2.13.0, without compiled kernels.
# Guessed: a prompt read in two chunks, the second with the cache of the first, gives the logits of the whole prompt.
# Seen: Mamba, Falcon Mamba and Jamba start a chunk of several tokens from an empty recurrent state (of the cache they
# use what the convolution left), without a warning. One token at a time is right; Mamba-2 is right both ways.
# Output, the greatest difference of the last logits as a share of their standard deviation (64 bits):
# Mamba: in two chunks 1.05, token by token 0.00, warnings: 0
# FalconMamba: in two chunks 0.12, token by token 0.00, warnings: 0
# Jamba: in two chunks 0.22, token by token 0.00, warnings: 0
# Mamba2: in two chunks 0.00, token by token 0.00, warnings: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 torch==2.13.0 transformers==5.23.0
"$folder/venv/bin/python" - 2> "$folder/told" <<'PYTHON' || { cat "$folder/told" >&2; exit 1; }
import logging
import warnings
import torch
import transformers
LENGTH = 24
sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.5}
attention = {"intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "num_experts": 1,
             "attn_layer_period": 2, "attn_layer_offset": 1}
kinds = {"Mamba": ("cache_params", {"state_size": 8}), "FalconMamba": ("cache_params", {"state_size": 8}),
         "Jamba": ("past_key_values", {"mamba_d_state": 8, **attention}),
         "Mamba2": ("cache_params", {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1})}
torch.set_default_dtype(torch.float64)
told = []
class Listener(logging.Handler):
    def emit(self, record):
        told.append(record)
transformers.logging.add_handler(Listener(logging.WARNING))
def last_logits(model, word, ids, step):
    cache = {}
    for start in range(0, LENGTH, step):
        output = model(ids[:, start:start + step], use_cache=True, **cache)
        cache = {word: output[word]}
    return output.logits[0, -1]
for kind, (word, more) in kinds.items():
    torch.manual_seed(0)
    config = getattr(transformers, kind + "Config")(**sizes, **more)
    model = getattr(transformers, kind + "ForCausalLM")(config).eval().double()
    ids = torch.randint(3, 64, (1, LENGTH))
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        whole, single = (last_logits(model, word, ids, step) for step in (LENGTH, 1))
        told.clear()  # that no fast kernels are installed
        halves = last_logits(model, word, ids, LENGTH // 2)
    halves, single = (float((logits - whole).abs().max() / whole.std()) for logits in (halves, single))
    count = len(caught) + len(told)
    print(f"{kind}: in two chunks {halves:.2f}, token by token {single:.2f}, warnings: {count}")
    assert single < 1e-3 and count == 0
    assert halves < 1e-3 if kind == "Mamba2" else halves > 0.01
PYTHON
