"""Features on top of a conversation: one package each, with its logic, its commands and its views."""
