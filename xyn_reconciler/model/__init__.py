"""Words: pure data that every room shares. Imports nothing of Xyn, does no I/O."""
