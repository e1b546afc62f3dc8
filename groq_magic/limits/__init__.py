"""What an account may send in a minute: known, planned, and shared by all processes."""
