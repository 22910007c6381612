"""How good answers are: a file of questions with known answers, asked of a library and scored."""

from tscli.evaluation.questions import Question, QuestionReport, ScoredAnswer, Tally, ask_all, read_questions

__all__ = ["Question", "QuestionReport", "ScoredAnswer", "Tally", "ask_all", "read_questions"]
