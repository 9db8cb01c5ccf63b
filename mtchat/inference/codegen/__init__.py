"""What loading models of the CodeGen family takes beyond transformers: layouts, a tokenizer, licences."""
