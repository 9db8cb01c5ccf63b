#!/usr/bin/env bash
# transformers 5.23.0 with torch 2.13.0.
# Guessed: a folder whose config.json names a quant_method that transformers does not know is not loaded.
# Seen: a logged warning, and the stored integers become the weights, without their scales.
# Output: quant_method "house-int8": loaded; greatest weight 0.1, loaded as 127.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 torch==2.13.0 transformers==5.23.0
"$folder/venv/bin/python" - "$folder" 2> "$folder/told" <<'PYTHON' || { cat "$folder/told" >&2; exit 1; }
import json
import pathlib
import sys
import safetensors.torch
import torch
import transformers
folder = pathlib.Path(sys.argv[1]) / "model"
config = transformers.LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                  num_attention_heads=2)
torch.manual_seed(0)
model = transformers.LlamaForCausalLM(config)
model.save_pretrained(folder)
file = folder / "model.safetensors"
weights = safetensors.torch.load_file(file)
for name in [name for name in weights if name.endswith("proj.weight")]:
    scale = weights[name].abs().max() / 127
    weights[name] = (weights[name] / scale).round().to(torch.int8)
    weights[name + "_scale"] = scale.reshape(1)
safetensors.torch.save_file(weights, file, {"format": "pt"})
settings = json.loads((folder / "config.json").read_text())
settings["quantization_config"] = {"quant_method": "house-int8", "bits": 8}
(folder / "config.json").write_text(json.dumps(settings))
loaded = transformers.AutoModelForCausalLM.from_pretrained(folder)
before, after = (float(each.model.layers[0].mlp.up_proj.weight.abs().max()) for each in (model, loaded))
print(f'quant_method "house-int8": loaded; greatest weight {before:.1f}, loaded as {after:.1f}')
assert before < 1 and after == 127
PYTHON
grep -q "Unknown quantization type, got house-int8" "$folder/told"
