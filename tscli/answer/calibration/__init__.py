"""Which heads of a model find what a question asks for: invented look-ups in neutral prose, and each head's rank of the right
place.

prose.txt is from Jane Austen's Northanger Abbey (1817, public domain). Nothing here is asked in any evaluation.
"""
