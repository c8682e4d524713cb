"""biomechjax: recorded human movement as tokens, read by a Gemma-style decoder that answers clinical questions.

The rooms, in the order a recording walks through them (imports point only backwards along it): motion, cohort,
tokenizer, tasks, language, data, parallel, training, evaluation.
"""

__version__ = "0.1.0"
