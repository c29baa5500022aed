"""The observer: facts, trials, judgement. Imports no torch, in any module, not even lazily."""
