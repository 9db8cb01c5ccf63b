#!/usr/bin/env bash
# peft 0.21.0 with transformers 5.23.0 and torch 2.13.0.
# Guessed: target_modules of gate_proj, up_proj and down_proj give LoRA to the routed experts of Qwen2-MoE as they do to
# those of Qwen3-MoE.
# Seen: peft translates the names to the fused weights of the experts in Qwen3-MoE only. In Qwen2-MoE they find the
# shared expert alone, without a warning, and no routed expert is trained.
# Output: trained in Qwen2-MoE: shared_expert; trained in Qwen3-MoE: experts
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
sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, moe_intermediate_size=8, num_hidden_layers=1,
             num_attention_heads=2, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2)
two = transformers.Qwen2MoeForCausalLM(transformers.Qwen2MoeConfig(shared_expert_intermediate_size=8, **sizes))
three = transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(head_dim=8, **sizes))
def trained(model):
    config = peft.LoraConfig(r=2, target_modules=["gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM")
    names = [name for name, weight in peft.get_peft_model(model, config).named_parameters() if weight.requires_grad]
    return ", ".join(sorted({name.split(".mlp.")[1].split(".")[0] for name in names}))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    second = trained(two)
third = trained(three)
print(f"trained in Qwen2-MoE: {second}; trained in Qwen3-MoE: {third}")
assert (second, third) == ("shared_expert", "experts")
assert not any("expert" in str(warning.message) or "target" in str(warning.message) for warning in told)
PYTHON
