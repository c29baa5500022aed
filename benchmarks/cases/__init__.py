"""Training steps that other people measured on a card, written again as plain code, to compare with.

Each case states which recorded row it answers to; what a row leaves open is in `benchmarks.cases.left_out`.
"""
