#!/usr/bin/env bash
# transformers 5.23.0 with torch 2.13.0 and gguf 0.19.0.
# Guessed: a Qwen2 GGUF file that says how its rotary embedding is scaled gives a config that says so too.
# Seen: the rope.scaling keys are dropped without a warning; the model is computed as if it had none.
# Output: rope parameters read: {'rope_theta': 1000000.0, 'rope_type': 'default'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 torch==2.13.0 transformers==5.23.0 gguf==0.19.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import gguf
import transformers
writer = gguf.GGUFWriter(sys.argv[1] + "/a.gguf", "qwen2")
writer.add_block_count(1)
writer.add_context_length(1024)
writer.add_embedding_length(64)
writer.add_feed_forward_length(128)
writer.add_head_count(4)
writer.add_head_count_kv(4)
writer.add_layer_norm_rms_eps(1e-6)
writer.add_rope_freq_base(1e6)
writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
writer.add_rope_scaling_factor(4.0)
writer.add_rope_scaling_orig_ctx_len(256)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("qwen2")
writer.add_token_list(["a", "b", "ab", "<|im_end|>"])
writer.add_token_types([1, 1, 1, 3])
writer.add_token_merges(["a b"])
writer.add_eos_token_id(3)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
config = transformers.AutoConfig.from_pretrained(sys.argv[1], gguf_file="a.gguf")
print("rope parameters read:", config.rope_parameters)
assert config.rope_parameters == {"rope_theta": 1e6, "rope_type": "default"}
PYTHON
