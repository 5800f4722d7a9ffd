"""One module a noun; each function runs one command and gives its exit code (none = 0)."""
