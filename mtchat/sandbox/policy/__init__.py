"""What the kernel is asked to keep a program from: filters, rules, limits, users; nothing here runs it."""
