#!/usr/bin/env bash
# transformers 5.23.0 with torch 2.13.0 and gguf 0.19.0.
# Guessed: general.architecture of a GGUF file decides which class of model it becomes; general.name is only a title.
# Seen: a file of architecture llama whose name is exactly "mistral" gets a Mistral config, with a sliding window of
# 4096 that the file says nothing of; named "Mistral 7B" it is a Llama.
# Output: 'mistral' becomes mistral, window 4096; 'Mistral 7B' becomes llama, window None
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
found = {}
for name in ("mistral", "Mistral 7B"):
    writer = gguf.GGUFWriter(sys.argv[1] + "/a.gguf", "llama")
    writer.add_name(name)
    writer.add_context_length(160)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = transformers.AutoConfig.from_pretrained(sys.argv[1], gguf_file="a.gguf")
    found[name] = config.model_type, getattr(config, "sliding_window", None)
print("; ".join(f"{name!r} becomes {kind}, window {window}" for name, (kind, window) in found.items()))
assert found == {"mistral": ("mistral", 4096), "Mistral 7B": ("llama", None)}
PYTHON
