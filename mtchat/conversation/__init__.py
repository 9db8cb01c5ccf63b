"""One conversation: the service that the REPL, scripts, replay and benchmarks take their turns with."""
