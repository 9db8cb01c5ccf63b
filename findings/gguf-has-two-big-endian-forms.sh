#!/usr/bin/env bash
# gguf 0.19.0, on a little-endian machine.
# Guessed: a big-endian file that GGUFWriter writes holds what gguf-convert-endian, of the same package, makes of the
# little-endian file with the same tensor.
# Seen: the converter swaps the 16-bit scale in each quantised block; the writer leaves it little-endian. Nothing in
# the file says which of the two it is.
# Output: a Q8_0 block begins with 0x0820; converted to big-endian with 0x2008; written as big-endian with 0x0820
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 gguf==0.19.0
cat > "$folder/write.py" <<'PYTHON'
import sys
import gguf
import numpy
kind = gguf.GGMLQuantizationType.Q8_0
values = numpy.linspace(-1, 1, 32, dtype=numpy.float32).reshape(1, 32)
writer = gguf.GGUFWriter(sys.argv[1], "llama", endianess=gguf.GGUFEndian[sys.argv[2]])
writer.add_tensor("test.weight", gguf.quantize(values, kind), raw_dtype=kind)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
cat > "$folder/first.py" <<'PYTHON'
import sys
import gguf
print("0x" + gguf.GGUFReader(sys.argv[1]).tensors[0].data.tobytes()[:2].hex())
PYTHON
python="$folder/venv/bin/python"
"$python" "$folder/write.py" "$folder/little.gguf" LITTLE
"$python" "$folder/write.py" "$folder/written.gguf" BIG
cp "$folder/little.gguf" "$folder/converted.gguf"
echo YES | "$folder/venv/bin/gguf-convert-endian" "$folder/converted.gguf" big > "$folder/log" 2>&1
little=$("$python" "$folder/first.py" "$folder/little.gguf")
converted=$("$python" "$folder/first.py" "$folder/converted.gguf")
written=$("$python" "$folder/first.py" "$folder/written.gguf")
echo "a Q8_0 block begins with $little; converted to big-endian with $converted; written as big-endian with $written"
[ "$little $converted $written" = "0x0820 0x2008 0x0820" ]
