"""Read, split, decode and augment photos."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .augmentation import DEFAULT_AUGMENTATION, AugmentationOptions, augment_pixels, augment_tensor
    from .cloud_address import is_cloud_address
    from .cloud_source import is_test_address
    from .cost_table import MAX_COST_CLASSES, read_costs
    from .dataset import Dataset, Examples, Photo, photo_digest, with_test_photos
    from .dataset_options import DatasetOptions
    from .decode import (PIXELS_VERSION, has_plain_pixels, load_full_size, load_photos, load_pixels,
                         load_pixels_at_sizes, network_input)
    from .decode_tensorflow import decode_tensor
    from .decoder_processes import DECODERS
    from .decoding_limits import STOP_SIGNALS, allow_stopping
    from .duplicates import find_duplicates
    from .folds import assign_folds, can_cross_validate, spread_over_folds
    from .formats import has_photo_signature, suffixes_for
    from .group_suggestion import suggest_group_pattern
    from .hash_groups import connected_groups
    from .hashing import hash_photos, with_readable_photos
    from .input_sources import STANDARD_INPUT, InputSources, is_url
    from .layout_advice import format_options
    from .layouts import is_test_folder
    from .legacy_decode import LEGACY_PIXELS_VERSION, load_legacy_pixels, resize_bilinear
    from .manifest_source import is_test_manifest
    from .local_files import FileReader, LocalFiles
    from .manifest import TABLE_SUFFIXES
    from .measures import FileMeasure, Measure, PhotoMeasure
    from .near_duplicates import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, hamming_distances, near_duplicate_pairs,
                                  perceptual_hash)
    from .part_names import PARTS, TEST, TRAINING, VALIDATION
    from .photo_files import PhotoHeader, header_number, open_file, read_photo_header
    from .photo_groups import group_numbers
    from .read_ahead import prefetch, reading_ahead
    from .scene_matches import SceneMatches, are_frequent, find_scene_matches
    from .sources import PHOTO_SOURCES, read_dataset
    from .split import Split, SplitOptions, check_class_sizes, reserved_parts, split_photos
    from .stored_pixels import store_pixels
    from .stored_rows import StoredRows, new_rows, remove_stored_rows, row_slices, rows_with_nan, take_rows
    from .text_files import NotTextError, OtherEncodingError, decode_text
    from .tf_data import to_tf_data

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".augmentation": "DEFAULT_AUGMENTATION AugmentationOptions augment_pixels augment_tensor",
    ".cloud_address": "is_cloud_address",
    ".cloud_source": "is_test_address",
    ".cost_table": "MAX_COST_CLASSES read_costs",
    ".dataset": "Dataset Examples Photo photo_digest with_test_photos",
    ".dataset_options": "DatasetOptions",
    ".decode": "PIXELS_VERSION has_plain_pixels load_full_size load_photos load_pixels load_pixels_at_sizes "
               "network_input",
    ".decode_tensorflow": "decode_tensor",
    ".decoder_processes": "DECODERS",
    ".decoding_limits": "STOP_SIGNALS allow_stopping",
    ".duplicates": "find_duplicates",
    ".folds": "assign_folds can_cross_validate spread_over_folds",
    ".formats": "has_photo_signature suffixes_for",
    ".group_suggestion": "suggest_group_pattern",
    ".hash_groups": "connected_groups",
    ".hashing": "hash_photos with_readable_photos",
    ".input_sources": "STANDARD_INPUT InputSources is_url",
    ".layout_advice": "format_options",
    ".layouts": "is_test_folder",
    ".legacy_decode": "LEGACY_PIXELS_VERSION load_legacy_pixels resize_bilinear",
    ".manifest_source": "is_test_manifest",
    ".local_files": "FileReader LocalFiles",
    ".manifest": "TABLE_SUFFIXES",
    ".measures": "FileMeasure Measure PhotoMeasure",
    ".near_duplicates": "HASH_BYTES HASH_HEIGHT HASH_WIDTH hamming_distances near_duplicate_pairs perceptual_hash",
    ".part_names": "PARTS TEST TRAINING VALIDATION",
    ".photo_files": "PhotoHeader header_number open_file read_photo_header",
    ".photo_groups": "group_numbers",
    ".read_ahead": "prefetch reading_ahead",
    ".scene_matches": "SceneMatches are_frequent find_scene_matches",
    ".sources": "PHOTO_SOURCES read_dataset",
    ".split": "Split SplitOptions check_class_sizes reserved_parts split_photos",
    ".stored_pixels": "store_pixels",
    ".stored_rows": "StoredRows new_rows remove_stored_rows row_slices rows_with_nan take_rows",
    ".text_files": "NotTextError OtherEncodingError decode_text",
    ".tf_data": "to_tf_data",
})
