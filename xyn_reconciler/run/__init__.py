"""Run: compile, decide, execute. Meets the other loops in rows only; never writes Git."""
