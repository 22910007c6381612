"""Answer questions about a collection of documents: run it once, keep the paged KV cache, answer by TokenSelect.

    import tscli

    tscli.prepare(["docs/"], library="shelf").run()
    with tscli.open_library("shelf") as session:
        stream = session.ask("When was the lighthouse built?")
        for piece in stream:
            print(piece, end="")
        print(tscli.find_evidence(session, stream.answer).citations[0].quote)

What there is stands in `__init__.pyi` and is imported on first use: `import tscli` loads neither torch nor transformers.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
