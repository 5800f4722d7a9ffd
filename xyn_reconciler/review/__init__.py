"""Drafts under review: looked at, checked, assessed, promoted. Decides nothing about runs."""
