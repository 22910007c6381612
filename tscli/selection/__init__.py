"""TokenSelect itself: which cached tokens a query attends to (arXiv 2411.02886). Knows tensors, not models or files."""
