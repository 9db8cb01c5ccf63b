"""What a typed text means: a step, a change, a rename, a check, a question, or talk."""
