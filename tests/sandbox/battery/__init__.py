"""The attack and fault battery: 120 cases, what must hold each of them, and proof that each can bite."""
