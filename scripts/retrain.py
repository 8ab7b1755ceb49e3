"""python -m scripts.retrain --image_dir=FOLDER: trains an image classifier on a folder of photos per class."""
from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.checkup import Finding, examine, write_findings
from scripts.classifier import (UNKNOWN_LABEL, Destinations, Exported, Proof, check_conversion, check_destinations,
                                check_formats, check_output_name, convert, describe_classifier, export_classifier,
                                export_graph, load_classifier, open_graph)
from scripts.console import (UserError, check_output_folder, import_tensorflow, run_command, stage)
from scripts.console.settings import DEFAULT_TFLITE, RetrainSettings, retrain_settings
from scripts.evaluation import Metrics, Rejection, evaluate, evaluate_unknown
from scripts.features import Bottlenecks, Extractor, core_count, extract_bottlenecks, open_extractor
from scripts.photos import (TEST, TRAINING, Photo, PhotoTree, Split, check_class_sizes, fold_photos,
                            identify_photos, read_tree, split_photos, split_with_test_photos, with_test_folder)
from scripts.report import (accuracy_lines, confusion_picture, conversion_header, conversion_line, conversion_notes,
                            cross_validation_lines, curves_picture, describe_retraining, finding_lines, photo_lines,
                            unknown_lines, write_report)
from scripts.training import (Fit, StepsFit, balanced_draw, generator, out_of_fold_probabilities, train,
                              write_summaries)

# More bad photos than this are counted, not listed; --logging_verbosity=DEBUG lists all.
MOST_LISTED = 50
# Of each kind of the doctor's findings.
MOST_FINDINGS = 1
log = logging.getLogger("scripts.retrain")


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: retrain(retrain_settings(given)), arguments)


def retrain(settings: RetrainSettings) -> int:
    """Photos to classifier; prints what a person wants to know on the way and returns 0."""
    destinations = Destinations(settings.output_graph, settings.output_labels, settings.saved_model_dir)
    check_output_name(settings.final_tensor_name)
    check_destinations(destinations)
    check_formats(settings.export)
    check_conversion(settings.export, destinations.graph.parent, destinations.graph)
    check_output_folder(settings.summaries_dir)
    with stage("list"):
        tree = _read_photos(settings)
    extractor, seen = _look_at_photos(tree, settings)
    with stage("split"):
        seen, split = _split(seen, settings)
    _say_split(split)
    folds = fold_photos(seen.tree, split, settings.cross_validate) if settings.cross_validate else None
    trained, bottlenecks, left, fit, choice = train(extractor, seen, split, settings,
                                                    _store(extractor, seen, split, settings))
    with stage("evaluation"):
        metrics, rejection, proof = _final_evaluation(bottlenecks, left, fit, settings)
    crossed = None if folds is None else _cross_validation(bottlenecks, folds, settings.balanced)
    with stage("TensorFlow"):
        import_tensorflow()
    metadata = describe_classifier(trained, bottlenecks, left, fit, metrics, settings.final_tensor_name,
                                   settings.flags, rejection, crossed, choice, split.known(seen.tree))
    exported = export_classifier(trained, fit.head, metadata, destinations, proof)
    command = _labelling_command(destinations)
    _say_files(exported)
    with stage("doctor"):
        findings = None
        if extractor and settings.doctor:
            findings = _examine(seen, split, trained.height, destinations.findings)
    with stage("report"):
        write_report(destinations.report, describe_retraining(
            bottlenecks, left, proof.outputs, metrics, rejection, metadata, findings, fit.curves(),
            load_classifier(destinations.tflite), command))
    with stage("summaries"):
        _write_pictures(settings.summaries_dir / time.strftime("%Y%m%d-%H%M%S"), fit, metrics,
                        bottlenecks.tree.labels)
    print(f"Report:         {destinations.report}", flush=True)
    with stage("export of other forms"):
        _convert(destinations.graph, bottlenecks, left, settings.export)
    print(f"Label a photo:  {command}")
    return 0


def _read_photos(settings: RetrainSettings) -> PhotoTree:
    tree = read_tree(settings.image_dir)
    check_class_sizes(tree, settings.testing_percentage, settings.validation_percentage)
    if settings.test_dir:
        tree = with_test_folder(tree, settings.test_dir)
    if settings.unknown_coverage:
        _check_no_folder_is_unknown(tree)
    print(*photo_lines(tree), sep="\n", flush=True)
    return tree


def _split(seen: Bottlenecks, settings: RetrainSettings) -> tuple[Bottlenecks, Split]:
    """Who plays which part; photos of --image_dir that are also in --test_dir are left out."""
    if settings.test_dir is None:
        return seen, split_photos(seen.tree, seen.looks, settings.testing_percentage, settings.validation_percentage,
                                  settings.seed)
    paths = {photo.path for photo in read_tree(settings.test_dir, least_classes=1).photos}
    tests = np.array([photo.path in paths for photo in seen.tree.photos])
    tested = {photo.digest for photo, test in zip(seen.tree.photos, tests) if test}
    kept = tests | [photo.digest not in tested for photo in seen.tree.photos]
    if not kept[~tests].any():
        raise UserError(f"All photos of {settings.image_dir} are also in {settings.test_dir}: none is left to train "
                        "on.", "Give a --test_dir with other photos.")
    if not kept.all():
        log.warning("Also in %s, and left to the test: %d of the photos of %s.", settings.test_dir, (~kept).sum(),
                    settings.image_dir)
    seen = seen.only(kept)
    return seen, split_with_test_photos(seen.tree, seen.looks, tests[kept], settings.validation_percentage,
                                        settings.seed)


def _look_at_photos(tree: PhotoTree, settings: RetrainSettings) -> tuple[Extractor | None, Bottlenecks]:
    """The extractor and all bottlenecks; for a network from scratch without the doctor nobody needs them."""
    if settings.network and settings.network.architecture and not settings.doctor:
        known, looks, unreadable = identify_photos(tree, core_count())
        _say_unreadable(unreadable)
        return None, Bottlenecks(known, np.empty((len(known.photos), 0), np.float32), looks, unreadable, 0, "")
    own_size = settings.network and settings.network.architecture  # --image_size is the other network's then
    with stage("extractor"):
        extractor = open_extractor(settings.extractor.tfhub_module, settings.extractor.model_dir,
                                   None if own_size else settings.extractor.image_size, settings.extractor.offline,
                                   1 if own_size else settings.extractor.views)
    with stage("extract"):
        bottlenecks = extract_bottlenecks(tree, extractor, settings.bottleneck_dir)
    _say_bottlenecks(bottlenecks, extractor)
    return extractor, bottlenecks


def _store(extractor: Extractor | None, seen: Bottlenecks, split: Split, settings: RetrainSettings
           ) -> Callable[[StepsFit], None]:
    """Writes the graph of a training by steps that is under way, as Poets did."""
    def store(fit: StepsFit) -> None:
        assert extractor and settings.steps
        path = settings.steps.intermediate_output_graphs_dir / f"intermediate_{fit.count}.pb"
        print(f"Save intermediate result to : {path}", flush=True)
        export_graph(path, extractor, fit.head, describe_classifier(
            extractor, seen, split, fit, None, settings.final_tensor_name, settings.flags))
    return store


def _check_no_folder_is_unknown(tree: PhotoTree) -> None:
    for label in tree.labels:
        if label.casefold() == UNKNOWN_LABEL:
            raise UserError(f"With --unknown_coverage, {label} is what photos of no class are called, and a folder "
                            "has that name.", "Move it elsewhere; evaluate can say how many of its photos are called "
                            "so.", exit_code=2)


def _examine(bottlenecks: Bottlenecks, split: Split, side: int, path: Path) -> list[Finding]:
    findings = examine(bottlenecks, split, side)
    write_findings(path, findings)
    print(*finding_lines(findings, path, MOST_FINDINGS), sep="\n", flush=True)
    return findings


def _convert(path: Path, bottlenecks: Bottlenecks, split: Split, formats: Sequence[str]) -> None:
    """The written graph in other forms, beside it."""
    if not formats:
        return
    photos = bottlenecks.tree.photos
    print(conversion_header(), flush=True)
    graph = open_graph(path)
    found = convert(graph, formats, path.parent, [photos[row] for row in split.rows(TEST)],
                    [photos[row] for row in split.rows(TRAINING)],
                    lambda converted: print(conversion_line(converted), flush=True))
    print(*conversion_notes(found, graph.metadata.unknown is not None), sep="\n", flush=True)


def _write_pictures(folder: Path, fit: Fit, metrics: Metrics | None, labels: Sequence[str]) -> None:
    confusion = confusion_picture(metrics, labels) if metrics else None
    write_summaries(folder, fit.curves(), {"confusion": np.asarray(confusion)} if confusion else None)
    curves_picture(fit.curves()).save(folder / "curves.png")


def _labelling_command(destinations: Destinations) -> str:
    graph = "" if destinations.tflite == DEFAULT_TFLITE else f" --graph={destinations.tflite}"
    return f"python -m scripts.label_image{graph} --image=PHOTO"


def _final_evaluation(bottlenecks: Bottlenecks, split: Split, fit: Fit,
                      settings: RetrainSettings) -> tuple[Metrics | None, Rejection | None, Proof]:
    """Evaluates on the test photos (None if there are none) and keeps the answers that the files must give."""
    rows = split.rows(TEST)
    outputs = fit.head.outputs(bottlenecks.matrix[rows])
    probabilities = outputs[:, :len(bottlenecks.tree.labels)]
    photos = [bottlenecks.tree.photos[row] for row in rows]
    proof = Proof(photos, outputs)
    if not photos:
        print("No photos were kept for a test, so how good the classifier is cannot be said.")
        return None, None, proof
    classes = bottlenecks.tree.classes()[rows]
    if settings.steps and settings.steps.test_batch_size != -1:
        drawn = balanced_draw(classes, settings.steps.test_batch_size, generator(settings.seed))
        print(f"Test accuracy of a batch drawn evenly from the classes = "
              f"{evaluate(probabilities[drawn], classes[drawn]).accuracy:.1%} (N={len(drawn)})")
    metrics = evaluate(probabilities, classes)
    print(*accuracy_lines(metrics, bottlenecks.tree.labels, "Final test accuracy"), sep="\n")
    rejection = None
    if fit.head.unknown is not None:
        rejection = evaluate_unknown(outputs[:, -1], probabilities.argmax(1) == classes, fit.head.unknown.threshold)
        print(*unknown_lines(rejection, "test photos"), sep="\n")
    if settings.print_misclassified_test_images:
        print("=== MISCLASSIFIED TEST IMAGES ===")
        for photo, answer in zip(photos, probabilities.argmax(1)):
            if bottlenecks.tree.labels[answer] != photo.label:
                print(f"{str(photo.path):>70}  {bottlenecks.tree.labels[answer]}")
    return metrics, rejection, proof


def _cross_validation(bottlenecks: Bottlenecks, folds: np.ndarray, balanced: bool) -> dict[str, Any]:
    """Answers every photo by a head that never saw it nor one that looks like it, and says how good that was."""
    classes = bottlenecks.tree.classes()
    answers = out_of_fold_probabilities(bottlenecks.matrix, classes, folds, len(bottlenecks.tree.labels),
                                        balanced=balanced)
    accuracies = [evaluate(answers[folds == fold], classes[folds == fold]).accuracy for fold in np.unique(folds)]
    metrics = evaluate(answers, classes)
    print(*cross_validation_lines(metrics, accuracies), sep="\n", flush=True)
    return {"folds": len(accuracies), "accuracy": metrics.accuracy, "interval": list(metrics.interval),
            "count": metrics.count, "spread": float(np.std(accuracies, ddof=1))}


def _say_bottlenecks(bottlenecks: Bottlenecks, extractor: Extractor) -> None:
    photos = len(bottlenecks.tree.photos)
    print(f"Bottlenecks by {extractor.name} at {extractor.height} x {extractor.width} pixels: "
          f"{bottlenecks.computed} computed, {photos} in all", flush=True)
    _say_unreadable(bottlenecks.unreadable)


def _say_unreadable(unreadable: Sequence[tuple[Photo, str]]) -> None:
    if not unreadable:
        return
    print(f"{len(unreadable)} files cannot be used and are left out:" if len(unreadable) > 1 else
          "1 file cannot be used and is left out:")
    for photo, reason in unreadable[:MOST_LISTED]:
        print(f"  {photo.path}: {reason}")
    if len(unreadable) > MOST_LISTED:
        print(f"  and {len(unreadable) - MOST_LISTED} more")


def _say_split(split: Split) -> None:
    parts = ", ".join(f"{count} {name}" for name, count in split.counts().items())
    print(f"Split: {parts} photos", flush=True)


def _say_files(exported: Exported) -> None:
    print("Written:")
    for path in exported.files:
        print(f"  {path}")
    if exported.parities:
        print("Checked on test photos: same labels, and the largest difference of a score")
    for parity in exported.parities:
        print(f"  {parity.name:<26} {f'{parity.agreeing} of {parity.count}':>11} {parity.largest:10.1g}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
