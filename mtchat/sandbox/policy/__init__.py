"""What the kernel is asked to enforce: system call filters, Landlock rules, resource limits."""
