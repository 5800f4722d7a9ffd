"""Who may do what. No I/O: a request and policies in, a decision and its reasons out."""
