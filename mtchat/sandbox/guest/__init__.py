"""What runs inside the sandbox, mounted there read-only; it imports nothing else of mtchat.

launch has pid 1, program the process that runs the chunks, fork the checkpoints, patches the changes to
libraries; wire is the protocol with the host. A program shares its process with program, fork and patches, so
the host trusts nothing that they say.
"""
