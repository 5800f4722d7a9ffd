-- Runs that nobody was told of are found the most urgent first, however many wait.

CREATE INDEX runs_untouched ON runs (priority DESC, created_at) WHERE status = 'created' AND wait_reason IS NULL;
