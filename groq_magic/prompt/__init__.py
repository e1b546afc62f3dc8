"""What goes into a request."""
