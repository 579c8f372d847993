"""What comes in, checked; what goes out, in one shape for API and command line."""
