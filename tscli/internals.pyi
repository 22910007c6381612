"""What only the command line needs, and its types, in this one list: `internals.py` reads it."""

from .bench import AttentionBench as AttentionBench
from .bench import AttentionRow as AttentionRow
from .bench import benchmark_attention as benchmark_attention
from .evaluation import Agreement as Agreement
from .evaluation import AnswerJournal as AnswerJournal
from .evaluation import FidelityResult as FidelityResult
from .evaluation import Result as Result
from .evaluation import Trial as Trial
from .evaluation import agreement_of as agreement_of
from .evaluation import answer_settings as answer_settings
from .evaluation import check_picture as check_picture
from .evaluation import draw as draw
from .evaluation import evaluate_tasks as evaluate_tasks
from .evaluation import every_nth as every_nth
from .evaluation import fidelity_of as fidelity_of
from .evaluation import results_of as results_of
from .evaluation import run_baselines as run_baselines
from .evidence import DocumentMap as DocumentMap
from .evidence import answer_json as answer_json
from .evidence import blocks as blocks
from .evidence import citations_json as citations_json
from .evidence import is_weak as is_weak
from .evidence import map_answer as map_answer
from .evidence import remarks as remarks
from .evidence import selected_by as selected_by
from .evidence import statistics_json as statistics_json
from .ingest.doctor import Examination as Examination
from .ingest.doctor import examine as examine
from .library.kept_heads import load_retrieval_heads as load_retrieval_heads
from .library.own_settings import library_model as library_model
from .library.own_settings import planned_model as planned_model
from .model.fetch import known_models as known_models
from .paths import library_names as library_names
from .serve.run import run_server as run_server
from .serve.served_libraries import ServedLibraries as ServedLibraries
from .serve.settings import ServeSettings as ServeSettings
from .tokens.counts import parse_count as parse_count

__all__: list[str]
