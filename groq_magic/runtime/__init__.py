"""What a process has: the loop thread on which all answers arrive."""
