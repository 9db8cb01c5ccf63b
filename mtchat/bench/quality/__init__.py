"""How good it is: benchmark problems taken as turns, scored in the sandbox, and reported."""
