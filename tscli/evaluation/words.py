"""Word lists written as strings, for the generated tasks, exams and comparisons."""


def words(text: str, separator: str | None = None) -> list[str]:
    """A list of words written as one string."""
    return text.split(separator)
