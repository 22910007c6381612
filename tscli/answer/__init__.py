"""Out of a library: a question finds its passages or pages, the model decodes an answer, and it is known what it drew on."""
