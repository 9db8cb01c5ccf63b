#!/usr/bin/env bash
# peft 0.21.0 with transformers 5.23.0 and torch 2.13.0.
# Guessed: loading an adapter warns of weights that do not fit, whichever of the two has more layers.
# Seen: it warns when the adapter has fewer layers than the model. When it has more, they are dropped without a word.
# Output: an adapter of 2 layers on a model of 3: 1 warning about keys; on a model of 1: 0 warnings, 1 layer kept
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 peft==0.21.0
"$folder/venv/bin/python" -W ignore - "$folder/adapter" <<'PYTHON'
import sys
import warnings
import peft
import transformers
def model(layers):
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=2))
peft.get_peft_model(model(2), peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(sys.argv[1])
def load(layers):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        adapted = peft.PeftModel.from_pretrained(model(layers), sys.argv[1])
    kept = sum(name.endswith("lora_A.default.weight") for name, _ in adapted.named_parameters())
    return sum("keys" in str(warning.message) for warning in told), kept
more, _ = load(3)
fewer, kept = load(1)
print(f"an adapter of 2 layers on a model of 3: {more} warning about keys; "
      f"on a model of 1: {fewer} warnings, {kept} layer kept")
assert (more, fewer, kept) == (1, 0, 1)
PYTHON
