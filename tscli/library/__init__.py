"""A library as documents, tokens and the model see it: what it holds, in which order and format, opened and put on a device."""
