"""Into a library: documents are planned, run through the model section by section, and their keys and values committed."""
