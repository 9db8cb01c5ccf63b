"""Runs programs in a sandbox and reports what they did.

`sandbox.Sandbox` is the public object, `backend.Backend` the contract for more ways to isolate. host starts
and follows runs, guest runs inside, checkpoints keeps the state of a program between runs, policy is what the
kernel enforces, backends are the ways to isolate.
"""
