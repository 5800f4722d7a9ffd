"""From a commit to active documents: judge, apply in one transaction, say so. Runs nothing."""
