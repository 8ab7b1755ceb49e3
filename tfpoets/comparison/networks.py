"""Compare pretrained networks on one dataset: accuracy, speed and size of the classifiers that they would become."""
from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpoets.data import Dataset, DatasetOptions, Examples, SplitOptions, group_numbers, take_rows
from tfpoets.errors import DataError, ExtractorError, OptionError, check_range
from tfpoets.evaluation import evaluate
from tfpoets.exporting import (TFLITE_CLASSIFIER, Exportable, ExportOptions, HeadInfo, TrainedNetwork,
                               describe_classifier)
from tfpoets.extractors import (Bottlenecks, ExecutionOptions, Extractor, ExtractorOptions, check_ray_address,
                                extract_bottlenecks, find_network, open_extractor)
from tfpoets.files import check_outside_image_dir, convert_to_locations, convert_to_paths
from tfpoets.photo_selection import list_photos
from tfpoets.progress import progress_bar
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import LBFGSFit, fit_head, out_of_fold_probabilities

from .result import ComparedClassifier, Comparison, rank
from .shared_folds import SharedFolds, share_folds
from .speed import measure_milliseconds, measure_photos_per_second

log = logging.getLogger(__name__)

TF_FILES = Path("tf_files")
REPEATED_SCENES = ("Photos of one scene (frames of a video, a burst) are in different folds, so the accuracies are "
                   "too high for new scenes. To keep them together, use `group_pattern`, or the column group of a "
                   "`manifest`.")


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """The options of a comparison of networks.

    Attributes:
        image_dir: The photos, as in RetrainOptions.
        dataset: Where the labels and groups of the photos are.
        split: The percentage of the photos that retrain tests on, which are not used, and the seed.
        handles: The networks, as in ExtractorOptions.
        image_sizes: The input sizes that each network is compared with; empty: its default size.
        views: The numbers of views that each network is compared with.
        extractor: The other options of the networks.
        cross_validate: The number of folds.
        bottleneck_dir: The folder of the bottleneck cache.
        ray_address: The Ray cluster whose nodes compute the bottlenecks; see `ExecutionOptions`.
    """

    image_dir: Path | str | None = None
    dataset: DatasetOptions = DatasetOptions()
    split: SplitOptions = SplitOptions()
    handles: tuple[str, ...] = (ExtractorOptions().handle,)
    image_sizes: tuple[int, ...] = ()
    views: tuple[int, ...] = (1,)
    extractor: ExtractorOptions = ExtractorOptions()
    cross_validate: int = 5
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    ray_address: str = ""

    def __post_init__(self) -> None:
        convert_to_locations(self, "image_dir")
        convert_to_paths(self, "bottleneck_dir")
        if self.image_dir is None and not self.dataset.manifest:
            raise OptionError("`image_dir` is missing.", "Set it to the photo folder.")
        if self.image_dir is not None and not self.dataset.manifest:
            for name, folder in (("bottleneck_dir", self.bottleneck_dir), ("model_dir", self.extractor.model_dir)):
                check_outside_image_dir(folder, name, self.image_dir, folder)
        check_ray_address("ray_address", self.ray_address)
        check_range("cross_validate", self.cross_validate, minimum=3, maximum=100, integer=True)
        if len(self.candidates()) < 2:
            raise OptionError("There is only one network to compare.",
                              "Name several with `handle`, or several values of `image_size` or `views`, separated by "
                              "commas.")

    def candidates(self) -> list[ExtractorOptions]:
        """Return the options of each network at each size and with each number of views, without repetitions."""
        return list(dict.fromkeys(
            replace(self.extractor, handle=handle, image_size=size, views=views)
            for handle in self.handles for size in self.image_sizes or (None,) for views in self.views))

    def retrain_options(self) -> RetrainOptions:
        """Return the options of a retrain run on the same photos."""
        folder = self.bottleneck_dir
        return RetrainOptions(image_dir=self.image_dir, dataset=self.dataset, split=self.split,
                              extractor=self.extractor, bottleneck_dir=folder, summaries_dir=folder,
                              files=ExportOptions(folder / "graph.pb", folder / "labels.txt"))


@dataclass(frozen=True)
class _Candidate:
    """A network to compare: its options, and the extractor that they select."""

    options: ExtractorOptions
    extractor: Extractor

    @property
    def name(self) -> str:
        """The name with the size and, if there are several, the number of views."""
        extractor = self.extractor
        size = str(extractor.height)
        if extractor.height != extractor.width:
            size += f"x{extractor.width}"
        # The names of many networks end with their size.
        name = extractor.name if extractor.name.endswith(f"_{size}") else f"{extractor.name} {size}"
        return name if self.options.views == 1 else f"{name} ({self.options.views} views)"


def compare_networks(options: CompareOptions) -> Comparison:
    """Compare networks by cross-validation on the same folds, and measure speed and size of the .tflite files.

    Every photo is classified by heads that were trained on other folds, one for each network.

    Args:
        options: The options.

    Raises:
        TfpoetsError: The photos or one of the networks cannot be used.
    """
    retrain_options = options.retrain_options()
    dataset = list_photos(retrain_options, lambda event: None)
    candidates = _open_candidates(options)
    extracted: list[Bottlenecks] = []
    for candidate in candidates:
        log.info("Network %d of %d: %s", len(extracted) + 1, len(candidates), candidate.name)
        extracted.append(extract_bottlenecks(dataset, candidate.extractor, options.bottleneck_dir,
                                             execution=ExecutionOptions(ray_address=options.ray_address)))
    readable, matrices = _common_photos(extracted)
    shared = share_folds(readable, matrices, options.cross_validate, retrain_options)
    with tempfile.TemporaryDirectory(prefix="tfpoets-compare-") as folder:
        classifiers = _test(candidates, shared, Path(folder))
    return Comparison(rank(classifiers), readable.labels, _notes(dataset, readable, shared, classifiers),
                      options.cross_validate, shared.n_unused)


def _open_candidates(options: CompareOptions) -> list[_Candidate]:
    """Open all networks, before any photo is processed.

    A network that does not take a size is left out at this size; if it takes none of the sizes, its own is used.
    """
    # A misspelt name is reported before another network is downloaded, and a failed download before any is prepared.
    for handle in sorted(options.handles, key=lambda handle: "://" in handle):
        find_network(handle, options.extractor)
    opened: dict[str, _Candidate] = {}
    for handle in options.handles:
        candidates = [candidate for candidate in options.candidates() if candidate.handle == handle]
        fitting = [found for candidate in candidates if (found := _open(candidate)) is not None]
        if not fitting:
            fitting = [_Candidate(sized, open_extractor(sized)) for sized in dict.fromkeys(
                replace(candidate, image_size=None) for candidate in candidates)]
            log.info("%s is compared at its own size, %d pixels.", fitting[0].extractor.name,
                     fitting[0].extractor.height)
        for candidate_ in fitting:
            opened.setdefault(candidate_.extractor.digest, candidate_)
    if len(opened) < 2:
        raise ExtractorError(f"All of these are the same network: {next(iter(opened.values())).name}.",
                             "Name another one with `handle`, or other values of `image_size` or `views`.")
    return _with_unique_names(list(opened.values()))


def _open(options: ExtractorOptions) -> _Candidate | None:
    """Open a network, or log why it cannot be used at the size that the options state, and return None."""
    try:
        return _Candidate(options, open_extractor(options))
    except ExtractorError as error:
        if options.image_size is None:
            raise
        log.warning("Left out: %s at %d pixels. %s", options.handle, options.image_size, error.problem)
        return None


def _with_unique_names(candidates: list[_Candidate]) -> list[_Candidate]:
    """Use the handles as names for networks that would otherwise have the name of another one."""
    names = [candidate.name for candidate in candidates]
    return [candidate if names.count(name) == 1 else
            replace(candidate, extractor=replace(candidate.extractor, name=candidate.options.handle))
            for candidate, name in zip(candidates, names)]


def _common_photos(extracted: Sequence[Bottlenecks]) -> tuple[Dataset, list[np.ndarray]]:
    """Return the photos that all networks could read, and the bottlenecks of each network for them."""
    rows = [{(photo.uri, photo.digest): row for row, photo in enumerate(bottlenecks.dataset.photos)}
            for bottlenecks in extracted]
    dataset = extracted[0].dataset
    keys = [(photo.uri, photo.digest) for photo in dataset.photos]
    mask = np.array([all(key in known for known in rows) for key in keys], bool)
    common = [key for key, is_common in zip(keys, mask) if is_common]
    if not common:
        raise DataError("None of the photos could be read.")
    return dataset.select(mask), [take_rows(bottlenecks.features, np.array([known[key] for key in common], np.int64))
                                  for bottlenecks, known in zip(extracted, rows)]


def _test(candidates: Sequence[_Candidate], shared: SharedFolds, folder: Path) -> list[ComparedClassifier]:
    """Cross-validate a head for each network, and measure the speed and the size of the file with that head."""
    n_folds = int(shared.folds.max()) + 1
    probabilities: list[np.ndarray] = []
    paths: list[Path] = []
    with progress_bar(len(candidates) * n_folds, "Heads", "head") as bar:
        for candidate, dataset in zip(candidates, shared.datasets):
            fits: list[LBFGSFit] = []
            probabilities.append(out_of_fold_probabilities(dataset.examples(), shared.folds,
                                                           _recording_fit(fits, bar.update)))
            paths.append(folder / f"{len(paths)}.tflite")
            _write_tflite(candidate.extractor, dataset, fits[-1], paths[-1])
    milliseconds = measure_milliseconds(paths)
    rates = measure_photos_per_second([candidate.extractor for candidate in candidates])
    results = []
    for index, (candidate, dataset) in enumerate(zip(candidates, shared.datasets)):
        extractor = candidate.extractor
        metrics = evaluate(probabilities[index], dataset.targets, group_numbers(dataset.photos))
        results.append(ComparedClassifier(
            candidate.name, candidate.options.handle, extractor.height, extractor.width, metrics,
            paths[index].stat().st_size, milliseconds[index], candidate.options.views,
            rates[index], candidate.options))
    return results


def _recording_fit(fits: list[LBFGSFit], update: Callable[[], object]) -> Callable[[Examples, Examples], LBFGSFit]:
    """Return `fit_head`, which also appends its result to a list and advances a progress bar."""
    def fit(train: Examples, validation: Examples) -> LBFGSFit:
        fits.append(fit_head(train, validation))
        update()
        return fits[-1]
    return fit


def _write_tflite(extractor: Extractor, dataset: Dataset, fit: LBFGSFit, path: Path) -> None:
    """Write the .tflite as retrain does."""
    metadata = describe_classifier(extractor, dataset, HeadInfo.from_dict(fit.description()))
    network = TrainedNetwork(extractor, fit.head, metadata.nodes.output)
    TFLITE_CLASSIFIER.write(Exportable(path.stem, metadata, network), path)


def _notes(listed: Dataset, readable: Dataset, shared: SharedFolds, classifiers: Sequence[ComparedClassifier]
           ) -> tuple[str, ...]:
    """Return sentences about the photos that the user should know."""
    notes = []
    if len(listed) > len(readable):
        notes.append(f"{len(listed) - len(readable)} of {len(listed)} photos could not be read; `tfpoets doctor` "
                     "lists the reasons.")
    best = max(range(len(classifiers)), key=lambda index: classifiers[index].metrics.accuracy)
    if shared.has_repeated_scenes(best):
        notes.append(REPEATED_SCENES)
    return tuple(notes)
