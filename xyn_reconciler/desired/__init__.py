"""Desired state in. No I/O: bytes in, state and problems out."""
