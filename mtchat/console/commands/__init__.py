"""One file per slash command: the docstring is its help, `do(console, argument)` does it.

A file may also define USAGE, the arguments as help shows them, and `complete(console)`, the arguments that
completion offers as (text, meaning) pairs. PATHS says that files
of the user's complete its arguments, those after the sign that it is.
"""
