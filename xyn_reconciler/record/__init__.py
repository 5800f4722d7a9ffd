"""What happened, written to Git. Never woken by its own commits; a run does not wait for it."""
