#!/usr/bin/env bash
# peft 0.21.0 with transformers 5.23.0 and torch 2.13.0.
# Guessed: a name in target_modules that no layer has is an error, as it is when it stands alone.
# Seen: beside a name that is right it is passed over without a warning, and less is trained than was asked for.
# Output: ["v_porj"]: an error; ["q_proj", "v_porj"]: trains q_proj, warnings about targets: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 peft==0.21.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import warnings
import peft
import transformers
base = transformers.Qwen2Config(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                num_attention_heads=2, num_key_value_heads=2)
def trained(names):
    config = peft.LoraConfig(r=2, target_modules=names, task_type="CAUSAL_LM")
    model = peft.get_peft_model(transformers.Qwen2ForCausalLM(base), config)
    weights = [name for name, weight in model.named_parameters() if weight.requires_grad]
    return "trains " + ", ".join(sorted({name.split(".lora_")[0].split(".")[-1] for name in weights}))
try:
    alone = trained(["v_porj"])
except ValueError:
    alone = "an error"
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    beside = trained(["q_proj", "v_porj"])
count = sum("target" in str(warning.message) or "v_porj" in str(warning.message) for warning in told)
print(f'["v_porj"]: {alone}; ["q_proj", "v_porj"]: {beside}, warnings about targets: {count}')
assert (alone, beside, count) == ("an error", "trains q_proj", 0)
PYTHON
