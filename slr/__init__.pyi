"""List the names that ``slr`` exports, and where each is defined. ``__init__.py`` reads this list."""

from .building.adapter import build_adapter as build_adapter
from .building.checkpoint import BuildReport as BuildReport
from .building.checkpoint import build as build
from .building.manifest import BuildManifest as BuildManifest
from .building.options import BuildOptions as BuildOptions
from .crc.prompts import CrcPrompt as CrcPrompt
from .crc.prompts import load_prompts as load_prompts
from .crc.scoring import PromptScores as PromptScores
from .crc.scoring import encode_prompts as encode_prompts
from .crc.scoring import score_model as score_model
from .crc.search import ScoredInterval as ScoredInterval
from .crc.search import SearchResult as SearchResult
from .crc.search import iter_search as iter_search
from .crc.search import search as search
from .crc.selection import Candidate as Candidate
from .crc.selection import Selection as Selection
from .crc.selection import pareto_front as pareto_front
from .crc.selection import select as select
from .hybrid import interpolate as interpolate
from .hybrid import restore as restore
from .intervals import LayerInterval as LayerInterval
from .intervals import all_intervals as all_intervals
from .metrics.coverage import answer_entropy as answer_entropy
from .metrics.coverage import coverage_at_k as coverage_at_k
from .metrics.coverage import coverage_curve as coverage_curve
from .metrics.coverage import precision as precision
from .metrics.diversity import TextDiversity as TextDiversity
from .metrics.diversity import diversity as diversity
from .metrics.lexical import compression_ratio as compression_ratio
from .metrics.lexical import distinct_n as distinct_n
from .metrics.lexical import median_words as median_words
from .metrics.lexical import self_bleu as self_bleu
from .metrics.pass_at_k import pass_at_k as pass_at_k
from .metrics.pass_at_k import pass_at_k_curve as pass_at_k_curve
from .metrics.semantic import SentenceEncoder as SentenceEncoder
from .metrics.semantic import embedding_diversity as embedding_diversity
from .models.compatibility import IncompatiblePairError as IncompatiblePairError
from .models.hub import HubError as HubError
from .models.loading import LoadedModel as LoadedModel
from .models.loading import ModelPair as ModelPair
from .models.loading import load_model as load_model
from .models.loading import load_pair as load_pair
from .models.loading import load_spec as load_spec
from .models.presets import resolve_pair as resolve_pair
from .models.reference import ModelReference as ModelReference
from .models.reference import PairSpec as PairSpec
from .sampling.config import SamplingConfig as SamplingConfig
from .sampling.requests import sample as sample
from .statistics.uncertainty import Estimate as Estimate

__all__: list[str]
__version__: str
