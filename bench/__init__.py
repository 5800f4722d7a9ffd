"""Xyn beside its floors: what the same work costs when it is written by hand, in the same run.

``make bench`` measures and writes ``docs/benchmarks.md`` and ``bench/results.json``.
A floor does what any implementation has to do (as many commits, as many bytes,
fsync on) and nothing else. Rounds of floor and Xyn take turns, and the ratio is
the median of the rounds' own ratios: a machine that is slow for a while is slow
for both.
"""
