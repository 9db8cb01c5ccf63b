#!/usr/bin/env bash
# transformers 5.23.0 with torch 2.13.0 and gguf 0.19.0.
# Guessed: the tokenizer made of a GGUF file has the tokens of that file, and so no id without a row of weights.
# Seen: a vocabulary without <|endoftext|> gets one behind its last token, an id that the embedding has no row for.
# Output: the file has 4 tokens; the tokenizer has 5, the last of them '<|endoftext|>'
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
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1], gguf_file="a.gguf")
last = tokenizer.convert_ids_to_tokens(len(tokenizer) - 1)
print(f"the file has 4 tokens; the tokenizer has {len(tokenizer)}, the last of them {last!r}")
assert (len(tokenizer), last) == (5, "<|endoftext|>")
PYTHON
