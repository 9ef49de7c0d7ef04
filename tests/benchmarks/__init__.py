"""How fast students are distilled: `python -m tests.benchmarks`, or `make bench`.

Ratios, not seconds, each from one run on one machine: the ways that are compared take turns (A B A B …), and the range
over those turns stands beside every ratio. Steps are timed, not whole epochs: a student-epoch is the time of a step
times the steps of an epoch, without set-up, prediction and records, which take little of a real run.
"""
