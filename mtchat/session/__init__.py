"""The values of a conversation: pure, standard library only, no I/O, clock or chance."""
