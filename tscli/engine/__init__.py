"""The main path: documents become tokens, tokens pages, a question selects among them, the answer says where from."""
