"""Judgement: facts and an error text in, findings out. Pure: no I/O, no clock, no environment.

`judging` has the door; a page of `explain` needs the vocabulary alone, so nothing is imported here.
"""
