"""The public names and their types, for type checkers; `__init__.py` imports them when they are first used."""
from .data.sources import read_dataset as read_dataset
from .data.split import split_photos as split_photos
from .errors import TfpoetsError as TfpoetsError
from .evaluation.metrics import evaluate as evaluate
from .exporting.conversion import export as export
from .exporting.wrapped_model import wrap as wrap
from .extractors.extraction import extract_bottlenecks as extract_bottlenecks
from .extractors.extractor import open_extractor as open_extractor
from .inference.load import load_classifier as load_classifier
from .networks.image_classifier import ImageClassifier as ImageClassifier
from .pipeline import retrain as retrain
from .retrain_options import RetrainOptions as RetrainOptions
from .training.lbfgs import fit_head as fit_head

__version__: str
