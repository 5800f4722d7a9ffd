"""From what arrives to the runs that it starts. Executes nothing, and never sees a run's steps."""
