"""A problem of two steps that the small starter model solves, for real runs of the benchmarks."""

ADDITION: dict[str, object] = {
    "id": "1",
    "name": "sum",
    "category": "math",
    "max_gen_length": 24,
    "prompts": ['Assign the number {a} to a variable named "x".', "Print x plus {b}."],
    "inputs": [{"a": "3", "b": "4"}, {"a": "5", "b": "1"}],
    "outputs": [7, 6],
}
