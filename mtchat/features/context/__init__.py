"""What of the conversation the model sees: turns whole, folded to their names and signatures, or left out."""
